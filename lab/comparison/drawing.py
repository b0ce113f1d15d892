"""Pictures as SVG: ladder diagrams by mscgen, plots by matplotlib. They have no background, and the colour of the text
around them, so that they suit light and dark pages."""
import io
import re
import subprocess

# After Okabe and Ito: told apart by colour-blind eyes, and readable on black and on white.
BLUE, ORANGE, GREEN = "#3A86C8", "#D55E00", "#0B9670"
COLOURS = {"sctp": BLUE, "tcp": ORANGE, "other": GREEN}
KIND_COLOURS = {"setup": BLUE, "teardown": ORANGE, "data": GREEN, "other": "black"}
MSCGEN_WIDTH = 300  # between two vertical lines, with hscale 1
ROOM = 36  # for the arrow's head and some air beside the widest label
MARGIN = 40  # beside the outermost lines of a ladder: half of what stands above them
INK = "#010203"  # stands for the colour of the text
STANDALONE_STYLE = "<style>svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"


def load_matplotlib():
    """Returns matplotlib.pyplot, set up. Takes a second, so only who draws waits for it."""
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "grid.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "svg.hashsalt": "lab",
        **{name: INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}})
    import matplotlib.pyplot  # pylint: disable=import-outside-toplevel
    return matplotlib.pyplot


def plot(draw, width=6.2, height=3.6, **subplots):
    """Calls draw(figure, axes) on an empty plot. Returns the SVG. Sizes are in inches."""
    pyplot = load_matplotlib()
    figure, axes = pyplot.subplots(figsize=(width, height), **subplots)
    draw(figure, axes)
    figure.tight_layout()
    file = io.StringIO()
    figure.savefig(file, transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return clean(file.getvalue().replace(INK, "currentColor"))


def write_numbers_out(axis, numbers=None):
    """On a logarithmic axis: 20, 50, 100, or the numbers that are given, rather than powers of ten."""
    from matplotlib import ticker  # pylint: disable=import-outside-toplevel
    axis.set_major_locator(ticker.FixedLocator(numbers) if numbers else ticker.LogLocator(subs=(1, 2, 5), numticks=20))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())


def put_legend_below(axes):
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncol=3)


def clean(svg):
    """Returns the svg element alone, without ids that could clash with another picture's on the same page."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    prefix = f"p{hash(svg) & 0xffffffff:08x}"
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}", svg)


def ladder(columns):
    """Draws conversations of a client and a server side by side.

    columns: a list of (name, packets). Returns the SVG.
    """
    entities, arcs = [], []
    for number, (name, _) in enumerate(columns):
        entities += [f'c{number} [label="{name} client"]', f's{number} [label="{name} server"]']
    labels = [[label_packet(packet, packets[0].time_s) for packet in packets] for _, packets in columns]
    for row in range(max(map(len, labels))):
        arcs.append(",\n".join(arc(number, packets[row], labels[number][row])
                               for number, (_, packets) in enumerate(columns) if row < len(packets)) + ";")
    svg = run_mscgen(1, entities, arcs)
    widest = max(map(int, re.findall(r'textLength="(\d+)"', svg)))
    scale = (widest + ROOM) * len(columns) / MSCGEN_WIDTH
    return crop(recolour(run_mscgen(scale, entities, arcs)), 2 * len(columns))


def run_mscgen(scale, entities, arcs):
    source = "\n".join([f'msc {{ hscale="{scale:.2f}", arcgradient="0";', ", ".join(entities) + ";", *arcs, "}", ""])
    return subprocess.run(["mscgen", "-T", "svg", "-i", "-", "-o", "-"], input=source, check=True, capture_output=True,
                          text=True).stdout


def label_packet(packet, begin_s):
    return f"{packet.number}: {packet.describe()}, {(packet.time_s - begin_s) * 1e3:.0f} ms"


def arc(column, packet, label):
    ends = (f"c{column}", f"s{column}") if packet.from_client else (f"s{column}", f"c{column}")
    colour = KIND_COLOURS[packet.kind()]
    quoted = label.replace('"', '\\"')
    return f'{ends[0]}=>{ends[1]} [label="{quoted}", linecolour="{colour}", textcolour="{colour}"]'


def recolour(svg):
    """Takes mscgen's white background and black ink away."""
    svg = svg[svg.index("<svg"):].replace('fill="white"', 'fill="none"')
    svg = re.sub(r'(fill|stroke)="black"', r'\1="currentColor"', svg)
    svg = re.sub(r' textLength="\d+"', ' dy="-3"', svg).replace('"Helvetica"', '"Helvetica, Arial, sans-serif"')
    return re.sub(r"[^\x20-\x7e]+", "", svg).strip()


def crop(svg, lines):
    """Takes away the margins that mscgen leaves beside its vertical lines."""
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    left = width / lines / 2 - MARGIN
    svg = re.sub(r'viewBox="[^"]*"', f'viewBox="{left:g} 0 {width - 2 * left:g} {height}"', svg, count=1)
    return re.sub(r'width="\d+px"', f'width="{width - 2 * left:g}px"', svg, count=1)


def make_standalone(svg):
    """Returns a picture as a file of its own."""
    return svg.replace(">", f">{STANDALONE_STYLE}", 1) + "\n"
