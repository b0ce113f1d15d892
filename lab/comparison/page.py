"""The report: one HTML file with everything in it."""
import csv
import html
import pathlib
import string

from comparison import comments, drawing, experiments, wire

HERE = pathlib.Path(__file__).resolve().parent


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

    def prose(self, **facts):
        """Shows the text that stands beside the experiment, in NAME.html, with facts for the $words in it."""
        self.text(fill(experiments.DIRECTORY / f"{self.name}.html", facts))

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
        rows = [(packet.number, f"{packet.time_s - packets[0].time_s:.6f}",
                 "client" if packet.from_client else "server", packet.describe(), packet.size) for packet in packets]
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

    def comment(self, label, more=None, chosen=lambda packet: True):
        """Says in the capture what its packets, or the chosen ones, are for.

        more: {packet number: what only this experiment can say of the packet}
        """
        more, told = more or {}, comments.explain(self.captures[label])
        numbers = [packet.number for packet in self.captures[label] if chosen(packet)]
        comments.write(self.capture_path(label),
                       {number: f"{told[number]} {more.get(number, '')}".rstrip() for number in numbers})

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
    path.write_text(fill(HERE / "report.html", {
        "summary": html.escape(summary), "index": index, "sections": "".join(markup for _, _, markup in contents)}),
        encoding="utf-8")


def fill(template, facts):
    """Returns the text of a file with facts for the $words in it."""
    return string.Template(template.read_text(encoding="utf-8")).substitute(facts)
