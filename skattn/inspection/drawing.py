"""What the displays share: where to draw, light frames and a slim colour bar.

Nothing here touches matplotlib's global settings, and sizes follow those of the user: a display is to be readable in a
column of 3.3 inches with a font of 8 points as well as on a screen.
"""

import numpy as np

# Okabe and Ito (2008): told apart with any colour vision. Lines differ in their dashes too, for print without colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (2, 1)))
INK, GREY, FAINT = "0.2", "0.45", "0.75"
CMAP = "Blues"  # even in lightness, and white where there is nothing


def make_axes(ax, height):
    """The axes that were given, or new ones, `height` inches high and as wide as the user's figures."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(plt.rcParams["figure.figsize"][0], height), layout="constrained")[1]


def split_axes(ax, share):
    """Axes on the lowest `share` of the place of `ax`, with its x-axis; `ax` keeps the rest."""
    spec = ax.get_subplotspec()
    if spec is not None:
        upper, _, lower = spec.subgridspec(3, 1, height_ratios=[0.97 - share, 0.03, share], hspace=0)
        ax.set_subplotspec(upper)
        return ax.figure.add_subplot(lower, sharex=ax)
    x, y, width, height = ax.get_position().bounds
    ax.set_position([x, y + height * (share + 0.03), width, height * (0.97 - share)])
    return ax.figure.add_axes([x, y, width, height * share], sharex=ax)


def lighten(ax, sides=("left", "bottom")):
    """Draw thin grey spines, on some sides only."""
    for side, spine in ax.spines.items():
        spine.set(visible=side in sides, color=FAINT, linewidth=0.8)
    ax.tick_params(color=FAINT, width=0.8, length=3)
    ax.tick_params(which="minor", color=FAINT, width=0.6, length=2)


def draw_cells(ax, weights, aspect, cmap):
    """Draw a cell of colour per weight."""
    rows, columns = weights.shape
    extent = ax.get_window_extent()
    # Cells are crisp, unless they are smaller than a pixel: then some would not be seen at all.
    style = {"interpolation": "nearest" if rows <= extent.height and columns <= extent.width else "auto"}
    return ax.imshow(weights, aspect=aspect, cmap=cmap, **style, **colour_range(weights))


def colour_range(weights):
    """Weights of the lightest and of the darkest colour: zero, and the largest unless few others come near it."""
    weights = np.asarray(weights)
    usual, largest = np.nanquantile(weights, 0.99), np.nanmax(weights)
    return {"vmin": 0, "vmax": usual if largest > 1.5 * usual > 0 else largest}


def colour_bar(image, ax, even):
    """Draw a slim bar beside `ax`, on which the `even` weight is marked."""
    top = image.norm.vmax
    extend = "max" if np.nanmax(image.get_array()) > top else "neither"
    place = {"ax": ax, "pad": 0.02, "aspect": 30, "fraction": 0.1}
    if ax.get_aspect() != "auto":  # the axes are smaller than their place, and the bar is to be as high as they are
        place = {"cax": ax.inset_axes([1.04, 0, 0.035, 1])}
    bar = ax.figure.colorbar(image, **place, extend=extend, label="weight")
    bar.outline.set(color=FAINT, linewidth=0.8)
    bar.ax.tick_params(color=FAINT, width=0.8, length=3)
    if 0 < even < top:
        bar.ax.axhline(even, color=INK, linewidth=1)
        places = [place for place in nice_ticks(6).tick_values(0, top) if place <= top]
        decimals = max(len(f"{place:g}".partition(".")[2]) for place in places)
        names = {place: f"{place:.{decimals}f}" for place in places if abs(place - even) > 0.09 * top} | {even: "even"}
        bar.set_ticks(list(names), labels=list(names.values()))
    return bar


def top_legend(ax):
    """Draw a legend above the data: in rows as wide as `ax`, which gets room for them inside."""
    names = len(ax.get_legend_handles_labels()[0])
    whole = ax.get_window_extent()
    for columns in range(names, 0, -1):
        style = {"ncols": columns, "columnspacing": 1.2, "handlelength": 1.8, "borderaxespad": 0.2}
        blank = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "framealpha": 1}
        legend = ax.legend(loc="upper left", **style, **blank)
        taken = legend.get_window_extent()
        if taken.width <= 0.9 * whole.width:  # a layout may still make the axes a little smaller
            break
    legend.set_in_layout(False)
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(ax.get_ylim())
    high = low + (high - low) / (1 - min(0.5, 1.1 * taken.height / whole.height))
    ax.set_ylim(top=scale.inverted().transform(high))


def nice_ticks(most, integer=False):
    """A locator of at most so many round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 5, 10], integer=integer)
