"""The report: one HTML file with everything in it."""
import csv
import html
import pathlib

from comparison import drawing, wire

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --faint: #59636e; --line: #d1d9e0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1; --line: #3d444d; --bad: #ff8a80; } }
body { color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto;
       max-width: 52rem; padding: 1rem; overflow-wrap: anywhere; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
figure { margin: 1.5rem 0; } figcaption, .files { color: var(--faint); font-size: .875rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; align-items: start; }
figure svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-size: .875rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
pre { white-space: pre-wrap; font-size: .8125rem; border-left: 3px solid var(--line); padding-left: .75rem; }
.claims { list-style: none; padding: 0; } .claims li { padding-left: 1.5rem; text-indent: -1.5rem; }
.fails { color: var(--bad); font-weight: bold; } a { color: inherit; }
"""
INTRODUCTION = """<p>The same two source files, <code>server.c</code> and <code>client.c</code>, were compiled twice, once for SCTP and once
for TCP, and put through the same experiments on a private network. Both protocols carry data reliably and in order between
two programs. This page shows where they differ. Nothing in it is drawn from theory: each picture comes from packets and
times that were just recorded, and each statement with a ✓ was checked against them.</p>
<p>Five words are enough to read it. An <b>association</b> is what SCTP calls a connection. A packet of SCTP carries
<b>chunks</b>: DATA carries a message, SACK confirms that it came, others open and close the association. A <b>path</b> is a
way to one of the other host's addresses. The <b>RTO</b> is how long a sender waits for a confirmation before it sends again.
The <b>round trip</b> is the time a packet takes there and back.</p>
<p>The captures (.pcapng) lie beside this page. Open them in Wireshark: the packet numbers are those given here.</p>"""


class Section:
    """One experiment's part of the report."""

    def __init__(self, name, directory, kernel):
        self.name = name
        self.directory = pathlib.Path(directory)
        self.kernel = kernel
        self.parts = []
        self.claims = []
        self.pictures = {}
        self.captures = {}

    def text(self, markup):
        self.parts.append(markup)

    def output(self, process):
        """Shows what a program printed."""
        text = f"$ {process['command']}\n{process['output']}{process['errors']}[exit status {process['status']}]"
        self.parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(self, name, header, rows):
        """Shows rows, and writes them as NAME.csv."""
        self.write_csv(name, header, rows)
        cells = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        self.parts.append(f'<div class="scroll"><table><tr>{head}</tr>{cells}</table></div>')

    def figure(self, name, svg, caption, header, rows):
        """Shows a picture, and writes its data as NAME.csv."""
        self.write_csv(name, header, rows)
        self.picture(name, svg)
        self.parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)} {html.escape(self.kernel)}. "
                          f'Data: <a href="{name}.csv">{name}.csv</a></figcaption></figure>')

    def ladders(self, captions):
        """Shows captures that were read, packet by packet, side by side where there is room: {label: caption}."""
        self.parts.append('<div class="pair">')
        for label, caption in captions.items():
            self.ladder(label, caption)
        self.parts.append("</div>")

    def ladder(self, label, caption):
        packets = self.captures[label]
        rows = [(packet.number, f"{packet.time_s - packets[0].time_s:.6f}", "client" if packet.from_client else "server",
                 packet.describe(), packet.size) for packet in packets]
        self.figure(f"{self.name}-{label}", drawing.ladder([(label.partition("-")[0].upper(), packets)]), caption,
                    ("packet", "time_s", "from", "content", "bytes"), rows)

    def picture(self, name, svg):
        """Keeps a picture for the README, without showing it."""
        self.pictures[name] = svg

    def write_csv(self, name, header, rows):
        with open(self.directory / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

    def capture_path(self, label):
        return self.directory / f"{self.name}-{label}.pcapng"

    def read_capture(self, label):
        """Returns the packets of a capture, and links it."""
        self.captures[label] = wire.read_packets(self.capture_path(label))
        return self.captures[label]

    def claim(self, statement, holds):
        """States what must be seen in the data, and whether it is."""
        self.claims.append((statement, bool(holds)))

    def failed_claims(self):
        return [statement for statement, holds in self.claims if not holds]

    def render(self, title):
        items = "".join(f"<li>✓ {html.escape(statement)}</li>" if holds else
                        f'<li class="fails">✗ Did not happen: {html.escape(statement)}</li>'
                        for statement, holds in self.claims)
        links = ", ".join(f'<a href="{path.name}">{path.name}</a>' for path in map(self.capture_path, self.captures))
        files = f'<p class="files">Captures: {links}</p>' if links else ""
        return (f'<h2 id="{self.name}">{html.escape(title)}</h2>{"".join(self.parts)}'
                f'<ul class="claims">{items}</ul>{files}')


def write_report(path, contents, summary):
    """contents: a list of (name, title, markup)."""
    index = "".join(f'<li><a href="#{name}">{html.escape(title)}</a></li>' for name, title, _ in contents)
    body = "".join(markup for _, _, markup in contents)
    path.write_text(f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>What SCTP does that TCP does not</title><style>{STYLE}</style></head><body>
<h1>What SCTP does that TCP does not</h1>{INTRODUCTION}<p>{html.escape(summary)}</p><ol>{index}</ol>{body}
</body></html>
""", encoding="utf-8")
