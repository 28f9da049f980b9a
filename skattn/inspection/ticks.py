"""Ticks of the cells of a picture: round dates in human words, round lags, or names, as many as there is room for."""

import numpy as np
import pandas as pd

_WIDTH, _HEIGHT = 0.6, 1.25  # of a character and of a line, in sizes of the font
_GAP = {"x": 0.8, "y": 0.0}  # between two names
_SLOPE = 2.0  # room for a name at 45 degrees
_DAY = 86400  # seconds
# Forms of a date: the short one, and those for a change of something larger, along the x-axis and along the y-axis.
_CLOCK = ("%H:%M", "%H:%M\n{0.day} %b", "{0.day} %b %H:%M")
_DATE = ("{0.day}", "{0.day}\n%b %Y", "%Y %b {0.day}")
_MONTH = ("%b", "%b\n%Y", "%Y %b")
_QUARTER = ("Q{0.quarter}", "Q{0.quarter}\n%Y", "%Y Q{0.quarter}")
_YEAR = ("%Y", "%Y", "%Y")


def label_cells(axis, index):
    """Name cells 0, 1, 2 ... along an axis after an index.

    Names are chosen whenever the axes are drawn, as a layout may still change their size; only names that have to be
    turned, along the x-axis, are there to stay.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        Of an axes with one cell per entry.
    index : pandas.Index
        Dates, whole numbers or names. Of several levels, each run of the first is named in its middle.
    """
    from matplotlib.ticker import FuncFormatter

    if axis.axis_name == "x" and _choose(index, "x", _room(axis, len(index))) is None:
        _turn(axis, index.astype(str))
        return
    locator = _locator(index)
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(locator.name))


def _locator(index):
    from matplotlib.ticker import FixedLocator

    class Cells(FixedLocator):
        """Places of the names for which there is room now."""

        def __call__(self):
            side, room = self.axis.axis_name, _room(self.axis, len(index))
            if room != getattr(self, "room", None):
                places, names = _choose(index, side, room) or _some(index.astype(str), side, room)
                self.room, self.names = room, dict(zip(places, names, strict=True))
            return list(self.names)

        def name(self, place, _):
            return self.names.get(place, "")

        def __reduce__(self):  # figures can be pickled, which a class within a function could not be by itself
            return _locator, (index,), vars(self)

    return Cells([])


def font_size(axis):
    """Of the names at an axis, in points."""
    return axis.get_major_ticks(1)[0].label1.get_fontsize()


def group_starts(index):
    """Where the first level of an index changes, from 0."""
    first = index.get_level_values(0).to_numpy()
    return np.flatnonzero(np.r_[True, first[1:] != first[:-1]])


def _room(axis, size):
    """Of one of so many cells, in sizes of the font."""
    extent = axis.axes.get_window_extent()
    length = extent.width if axis.axis_name == "x" else extent.height
    return length / axis.axes.figure.dpi * 72 / font_size(axis) / size


def _choose(index, side, room):
    """The first candidate that leaves room between its names, or None."""
    for places, names in _candidates(index, side):
        if len(places) > min(1, len(index) - 1) and _fit(places, names, side, room):
            return places, names
    return None


def _some(names, side, room):
    """Every so many names."""
    longest = max(map(len, names)) * _WIDTH if side == "x" else _HEIGHT
    places = np.arange(0, len(names), int(np.ceil((longest + _GAP[side]) / room)))
    return places, names[places]


def _turn(axis, names):
    room = _room(axis, len(names))
    slope = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if room > _SLOPE else {"rotation": 90}
    places = np.arange(0, len(names), int(np.ceil(_HEIGHT / room)))
    axis.set_ticks(places, names[places], **slope)


def _fit(places, names, side, room):
    """Whether names at some places leave a gap, each line of them beside the same line of the next."""
    lines = [name.split("\n") for name in names]
    for number in range(max(map(len, lines))):
        there = [place for place, parts in enumerate(lines) if number < len(parts)]
        sizes = np.array([_WIDTH * len(lines[place][number]) if side == "x" else _HEIGHT for place in there])
        if (np.diff(places[there]) * room < (sizes[1:] + sizes[:-1]) / 2 + _GAP[side]).any():
            return False
    return True


def _candidates(index, side):
    """Places to name, and their names, from many to few."""
    if isinstance(index, (pd.PeriodIndex, pd.DatetimeIndex)):
        yield from _round_dates(index, side)
    elif isinstance(index, pd.MultiIndex):
        starts = group_starts(index)
        ends = np.r_[starts[1:], len(index)]
        yield (starts + ends - 1) / 2, index.get_level_values(0)[starts].astype(str)
    elif pd.api.types.is_integer_dtype(index):
        for step in (factor * 10**power for power in range(7) for factor in (1, 2, 5)):
            places = np.flatnonzero(index.to_numpy() % step == 0)
            yield places, [str(index[place]).replace("-", "−") for place in places]
    else:
        yield np.arange(len(index)), index.astype(str)


def _round_dates(index, side):
    quarters = isinstance(index, pd.PeriodIndex) and index.freqstr.startswith("Q")
    dates = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index.tz_localize(None)
    if len(dates) == 1:
        return
    gap = np.median(np.diff(dates.as_unit("s").asi8))
    before = dates[:1] - pd.Timedelta(gap, "s")  # tells whether the first date begins something
    for seconds, count, (short, *full), larger in _steps(before.append(dates), _QUARTER if quarters else _MONTH):
        if seconds < 0.9 * gap:
            continue
        places = np.flatnonzero(np.diff(count) > 0)
        changed = np.r_[True, np.diff(larger[places + 1]) > 0]
        forms = np.where(changed, full[side == "y"], short)
        yield (
            places,
            [dates[place].strftime(form.format(dates[place])) for place, form in zip(places, forms, strict=True)],
        )


def _steps(dates, month):
    """Steps of the calendar from short to long: seconds, the step each date is in, forms, something larger."""
    seconds = dates.as_unit("s").asi8
    days, months, years = seconds // _DAY, 12 * dates.year + dates.month, dates.year.to_numpy()
    months = months.to_numpy() - 1
    for length in (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600):
        whole = seconds % length == 0  # a clock is read at round times only
        yield length, np.cumsum(whole), _CLOCK, days
    yield _DAY, days, _DATE, months
    yield 2 * _DAY, days // 2, _DATE, months
    yield 7 * _DAY, (days + 3) // 7, _DATE, months  # Mondays: 1970 began on a Thursday
    for number in (1, 2, 3, 6):
        yield 28 * number * _DAY, months // number, month, years
    for number in (1, 2, 5, 10, 20, 50, 100):
        yield 365 * number * _DAY, years // number, _YEAR, years
