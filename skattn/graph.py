"""Maps of sensors: matrices whose element [i, j] is the strength of the edge from sensor i to sensor j.

Letters: ``S`` sensors.
"""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import haversine_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

EARTH = 6371.0  # mean radius, km
WEAKEST = 0.1  # edges of a kernel below this are none, as in Li et al. (2018)
FAINTEST = 1e-6  # what an edge to a neighbour that is to be kept has at least, however far it is


@validate_params(
    {
        "coordinates": ["array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "length_scale": [Interval(Real, 0, None, closed="neither"), None],
        "metric": [StrOptions({"haversine", "euclidean"})],
    },
    prefer_skip_nested_validation=True,
)
def adjacency_from_coordinates(coordinates, *, n_neighbors=None, length_scale=None, metric="haversine"):
    """Make a map of sensors from where they are: the nearer, the stronger the edge.

    An edge is as strong as a Gaussian kernel of the distance, ``exp(-(d / length_scale) ** 2)``, and none where that is
    below 0.1; Li et al. (2018), "Diffusion convolutional recurrent neural network".

    Parameters
    ----------
    coordinates : array-like of shape (n_sensors, 2)
        Latitude and longitude in degrees, or for ``metric='euclidean'`` places in a plane. The index of a DataFrame
        names the sensors.

    n_neighbors : int, default=None
        Keep the edges from so many nearest sensors to each one, however weak. None keeps all above 0.1.

    length_scale : float, default=None
        Distance at which an edge has a strength of 0.37: in kilometres, or units of the plane. None takes the standard
        deviation of all distances.

    metric : {'haversine', 'euclidean'}, default='haversine'
        Along the surface of the earth, or in a plane.

    Returns
    -------
    adjacency : DataFrame of shape (n_sensors, n_sensors)
        Strength of the edge from the sensor of a row to that of a column, from 0 to 1; 1 on the diagonal.

    Examples
    --------
    >>> import pandas as pd
    >>> from skattn.graph import adjacency_from_coordinates
    >>> places = pd.DataFrame({"lat": [53.4, 53.3, 51.9], "lon": [-6.2, -6.4, -8.5]}, index=["DUB", "BAL", "ORK"])
    >>> adjacency_from_coordinates(places, length_scale=200).round(2)
          DUB   BAL   ORK
    DUB  1.00  0.99  0.27
    BAL  0.99  1.00  0.33
    ORK  0.27  0.33  1.00
    """
    names = coordinates.index if hasattr(coordinates, "iloc") else None
    coordinates = check_array(coordinates, dtype=float, input_name="coordinates")
    if coordinates.shape[1] != 2:
        raise ValueError(
            f"coordinates has {coordinates.shape[1]} columns but 2 are needed. Pass latitude and longitude, or x and y."
        )
    if metric == "haversine":
        if (abs(coordinates) > [90, 360]).any():
            raise ValueError(
                f"coordinates reach to {abs(coordinates).max(0).tolist()} but latitudes end at 90 degrees and "
                "longitudes at 360. Put the latitude first, or use metric='euclidean'."
            )
        distance = EARTH * haversine_distances(np.radians(coordinates))
    else:
        distance = pairwise_distances(coordinates)
    scale = length_scale or distance.std() or 1.0
    adjacency = np.exp(-((distance / scale) ** 2))
    if n_neighbors is None or len(distance) == 1:
        adjacency[adjacency < WEAKEST] = 0
    else:
        adjacency = np.maximum(adjacency, FAINTEST)
        nearest = NearestNeighbors(n_neighbors=min(n_neighbors, len(distance) - 1), metric="precomputed").fit(distance)
        adjacency *= nearest.kneighbors_graph().toarray().T + np.eye(len(distance))
    return pd.DataFrame(adjacency, names, names)


def aligned(table, names, *, what="adjacency"):
    """A map in the order of the sensors called `names`, or their coordinates, if it is a DataFrame with labels."""
    if not isinstance(table, pd.DataFrame) or isinstance(table.index, pd.RangeIndex):
        return table
    known, axes = (table.index.intersection(table.columns), 2) if what == "adjacency" else (table.index, 1)
    lacking = pd.Index(names).difference(known)
    if len(lacking):
        raise ValueError(
            f"{what} lacks sensor {lacking[0]!r}, and {len(lacking) - 1} more of the columns of y. Name its rows "
            f"{'and columns ' * (axes == 2)}like these, or pass a plain array in their order."
        )
    return table.loc[(list(names),) * axes].to_numpy()


def find_adjacency(adjacency, coordinates, n_sensors):
    """The map of so many sensors, given or made from where they are, as an array (S, S) of float32, or None."""
    if adjacency is not None and coordinates is not None:
        raise ValueError(
            "adjacency and coordinates are both given, but one map is used. Pass one of them, or multiply the map "
            "with adjacency_from_coordinates(coordinates) before."
        )
    if coordinates is not None:
        adjacency = adjacency_from_coordinates(coordinates)
        if len(adjacency) != n_sensors:
            raise ValueError(
                f"coordinates has {len(adjacency)} rows but there are {n_sensors} sensors. Pass a row for each sensor."
            )
    return None if adjacency is None else check_adjacency(adjacency, n_sensors)


def check_adjacency(adjacency, n_sensors):
    """A map as an array (S, S) of float32."""
    adjacency = adjacency.toarray() if issparse(adjacency) else adjacency
    adjacency = check_array(adjacency, dtype=np.float32, input_name="adjacency")
    if adjacency.shape != (n_sensors, n_sensors):
        raise ValueError(
            f"adjacency has shape {adjacency.shape} but {n_sensors} sensors need {(n_sensors, n_sensors)}. "
            "Pass a row and a column for each sensor."
        )
    if adjacency.min() < 0 or not adjacency.any():
        raise ValueError(
            f"adjacency has elements from {adjacency.min()} to {adjacency.max()} but strengths are positive where "
            "there is an edge and 0 elsewhere. Pass strengths, not distances, as adjacency_from_coordinates makes them."
        )
    return adjacency
