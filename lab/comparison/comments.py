"""Packet comments: what each packet is for, in plain words.

Wireshark shows a packet's comment in green, above the packet's layers.
"""
import subprocess

# What a chunk of SCTP or a packet of TCP is for.
SENTENCES = {
    "INIT": "The client asks for an association, which is SCTP's word for a connection.",
    "INIT ACK": "The server agrees and sends a cookie: a signed note of what the server must know of the client. "
                "The server itself keeps nothing yet.",
    "COOKIE ECHO": "The client sends the cookie back, which proves that the client is at its address. Only now does "
                   "the server keep anything about the client.",
    "COOKIE ACK": "The association is open after two round trips: connect() returns in the client.",
    "addresses": "The {me} lists its addresses: {addresses}. Each is an end of a path.",
    "HEARTBEAT": "The {me} asks whether the path from {source} to {destination} works.",
    "HEARTBEAT ACK": "The path works. From now on the {peer} may send messages on this path.",
    "message": "The client sends {text}: TSN {tsn}.",
    "answer": "The server answers {text} to {question}.",
    "again": "The {me} sends {text} again: no {confirmation} has reached the {me} in the {gap_s:.2f} s since packet "
             "{earlier}.",
    "other path": "This time the packet takes the other path, from {source} to {destination}.",
    "SACK": "The {me}'s kernel confirms {text}.",
    "SHUTDOWN": "The {me} closes the association, in both directions. SCTP has no half-open state, which TCP has after "
                "the first FIN.",
    "SHUTDOWN ACK": "The {me}, too, has no message left to send.",
    "SHUTDOWN COMPLETE": "The association is closed at both ends.",
    "ABORT": "The {me} ends the association at once. Messages that are still under way or unread are lost.",
    "SYN": "The client asks for a connection.",
    "SYN + ACK": "The server agrees, and from here on keeps a record of the client. Nothing has proven yet that the "
                 "client is at its address.",
    "opened": "The connection is open after one round trip: connect() has returned in the client.",
    "bytes": "The client sends {text}.",
    "ACK": "The {me}'s kernel confirms all bytes so far.",
    "FIN": "The {me} closes its direction. The other direction stays open.",
    "second FIN": "The {me} closes its direction, too.",
    "FIN again": "The {me} sends its FIN again.",
    "closed": "The {me} confirms the last FIN: the connection is closed.",
    "RST": "The {me} ends the connection at once. Bytes that are still under way or unread are lost.",
}
# What is said instead the first time in a conversation.
FIRST_SENTENCES = {
    "message": "The client sends {text}: one call of send(), one DATA chunk. The chunk has a number, TSN {tsn}. TCP "
               "numbers bytes instead.",
    "SACK": "SACK does what TCP's ACK does: the {me}'s kernel confirms that {text} has arrived.",
    "bytes": "The client sends {text}. To TCP, the message is just {size} bytes: only the two programs know where a "
             "message ends.",
}
SEVERAL_CHUNKS = "Chunks can share a packet, as here."
SIDES = {True: ("client", "server"), False: ("server", "client")}


class Guide:
    """Tells one conversation, packet by packet."""

    def __init__(self):
        self.told = set()
        self.questions, self.answers = [], 0  # what the client has sent, and how much of that was answered
        self.brought = {True: {}, False: {}}  # what each TSN has brought, from the client (True) and from the server
        self.confirmed = {True: -1, False: -1}  # up to which TSN of its peer the client, the server has confirmed
        self.closing = set()  # the sides that have sent a FIN

    def tell(self, packet):
        """Returns the comment for the next packet."""
        tell = self.tell_flags if packet.protocol == "tcp" else self.tell_chunks
        return " ".join(tell(packet))

    def say(self, what, packet, **facts):
        """Returns the sentence for something in a packet."""
        sentence = SENTENCES[what] if what in self.told else FIRST_SENTENCES.get(what, SENTENCES[what])
        self.told.add(what)
        me, peer = SIDES[packet.from_client]
        return sentence.format(me=me, peer=peer, source=packet.source, destination=packet.destination, **facts)

    def tell_chunks(self, packet):
        if packet.data:  # first, since it tells most
            yield from self.tell_data(packet, "message")
        for name in packet.names:
            if name == "SACK":
                yield self.say(name, packet, text=self.list_confirmed(packet))
            elif name in SENTENCES:
                yield self.say(name, packet)
        if packet.addresses:
            yield self.say("addresses", packet, addresses=" and ".join(packet.addresses))
        if len(packet.names) > 1 and SEVERAL_CHUNKS not in self.told:
            self.told.add(SEVERAL_CHUNKS)
            yield SEVERAL_CHUNKS

    def tell_flags(self, packet):
        if "RST" in packet.names:
            yield self.say("RST", packet)
        elif "SYN" in packet.names:
            yield self.say(" + ".join(packet.names), packet)
        elif packet.data:
            yield from self.tell_data(packet, "bytes")
        elif "FIN" not in packet.names:
            yield self.say(self.name_acknowledgement(packet), packet)
        if "FIN" in packet.names:
            yield self.say(self.name_fin(packet), packet)
            self.closing.add(packet.from_client)

    def name_fin(self, packet):
        if packet.from_client in self.closing:
            return "FIN again"
        return "second FIN" if self.closing else "FIN"

    def name_acknowledgement(self, packet):
        if "opened" not in self.told and packet.from_client:
            return "opened"
        return "closed" if len(self.closing) == 2 else "ACK"

    def tell_data(self, packet, what):
        """Tells of the data in a packet."""
        text = join(packet.texts)
        if packet.again:
            yield self.say("again", packet, text=text, gap_s=packet.time_s - packet.earlier.time_s,
                           earlier=packet.earlier.number, confirmation="SACK" if what == "message" else "ACK")
            if packet.link != packet.earlier.link:
                yield self.say("other path", packet)
            return
        if packet.from_client:
            self.questions += packet.texts
            self.brought[True].update(zip((tsn for tsn, _ in packet.data), map(quote, packet.texts)))
            yield self.say(what, packet, text=text, tsn=" and ".join(str(tsn) for tsn, _ in packet.data),
                           size=sum(size for _, size in packet.data))
        else:
            answered = self.questions[self.answers:self.answers + len(packet.texts)]
            self.answers += len(answered)
            question = join(answered) or "a message"
            self.brought[False].update((tsn, f"the answer to {question}") for tsn, _ in packet.data)
            yield self.say("answer", packet, text=text, question=question)

    def list_confirmed(self, packet):
        """Returns in words what a SACK confirms: what is new in it, or else the last."""
        last, self.confirmed[packet.from_client] = self.confirmed[packet.from_client], packet.acknowledged
        brought = self.brought[not packet.from_client]
        news = [text for tsn, text in brought.items() if last < tsn <= packet.acknowledged]
        return " and ".join(news) or f"once more {brought.get(packet.acknowledged, 'what it has')}"


def quote(text):
    return f'"{text}"'


def join(texts):
    return " and ".join(map(quote, texts))


def explain(packets):
    """Returns {packet number: comment} for a capture that was read."""
    guides = {}
    return {packet.number: guides.setdefault(packet.ports, Guide()).tell(packet) for packet in packets}


def write(path, comments):
    """Puts comments, {packet number: text}, into a capture, with a line for each sentence."""
    commented = path.with_suffix(".commented")
    lines = {number: text.replace(". ", ".\n") for number, text in comments.items()}
    options = [option for number, text in lines.items() for option in ("-a", f"{number}:{text}")]
    subprocess.run(["editcap", *options, path, commented], check=True, capture_output=True)
    commented.replace(path)
