"""Tests of maps of sensors: kernels and distances by hand, nearest neighbours, names, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skattn.graph import adjacency_from_coordinates, aligned, check_adjacency, find_adjacency

PLANE = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])  # distances of 5, 1 and the root of 18
NAMES = ["north", "east", "south"]
MAP = pd.DataFrame([[0.0, 2.0, 0.5], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0]], NAMES, NAMES)


def plane(coordinates, **options):
    return adjacency_from_coordinates(coordinates, metric="euclidean", **options)


def distance(places):
    """Distance in km between two places, of latitude and longitude, that a map is made of."""
    return 500 * np.sqrt(-np.log(adjacency_from_coordinates(places, length_scale=500).iloc[0, 1]))


# ---------------------------------------------------------------------------------------------------- strengths


def test_kernel_by_hand():
    """Strengths are exp(-(d / 5) ** 2): of distances 5 and 1 exp(-1) and exp(-1 / 25), and 1 from each to itself."""
    expected = np.exp([[0, -1, -1 / 25], [-1, 0, -18 / 25], [-1 / 25, -18 / 25, 0]])
    assert_allclose(plane(PLANE, length_scale=5), expected)


def test_weak_edges_are_none():
    """A strength of 0.101 is kept and one of 0.099 is not."""
    near, far = np.sqrt(-np.log([0.101, 0.099]))
    adjacency = plane([[0, 0], [near, 0], [0, far]], length_scale=1)
    assert_allclose(adjacency.iloc[0], [1, 0.101, 0])


def test_default_length_scale():
    """It is the deviation of all distances, those of zero included: here 0, 0, 0, 1, 1, 1, 1, 2, 2 with 14 / 27."""
    var = (4 + 8) / 9 - (8 / 9) ** 2  # of the distances between three places in a row
    expected = np.exp(-1 / var)
    assert_allclose(plane([[0, 0], [1, 0], [2, 0]]).iloc[1], [expected, 1, expected])
    assert_allclose(plane(PLANE), plane(1000 * PLANE))


def test_sensors_at_the_same_place():
    """They have no deviation of distances, and edges as strong as can be."""
    assert_array_equal(plane(np.ones((3, 2))), np.ones((3, 3)))


@pytest.mark.parametrize(
    ("places", "kilometres"),
    [
        ([[0, 0], [1, 0]], 111.195),  # a degree of latitude
        ([[60, 10], [60, 11]], 55.597),  # of longitude, on the way to the pole
        ([[0, 179.5], [0, -179.5]], 111.195),  # across the date line
        ([[53.3498, -6.2603], [51.8985, -8.4756]], 219.9),  # Dublin and Cork
    ],
)
def test_distances_on_the_earth(places, kilometres):
    """Along the surface of the earth, in kilometres."""
    assert_allclose(distance(places), kilometres, rtol=1e-3)


@pytest.mark.parametrize("n_neighbors", [1, 2, 5])
def test_nearest_neighbours(n_neighbors):
    """Each sensor has edges from so many nearest ones, however weak, of the strength of the kernel."""
    coordinates = np.random.default_rng(0).uniform(size=(11, 2))
    adjacency = plane(coordinates, n_neighbors=n_neighbors, length_scale=0.1).to_numpy()
    distances = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    nearest = distances.argsort(axis=0)[: n_neighbors + 1]  # a column per listener, itself first
    expected = np.zeros((11, 11))
    strengths = np.exp(-((np.take_along_axis(distances, nearest, 0) / 0.1) ** 2))
    np.put_along_axis(expected, nearest, np.maximum(strengths, 1e-6), axis=0)
    assert_allclose(adjacency, expected, atol=1e-12)
    assert_array_equal((adjacency > 0).sum(0), n_neighbors + 1)
    assert ((adjacency > 0) != (adjacency > 0).T).any()  # near is not mutual
    assert (adjacency[adjacency > 0] < 0.1).any()


def test_more_neighbours_than_there_are():
    """All others are then the nearest."""
    assert_allclose(plane(PLANE, n_neighbors=7, length_scale=5), plane(PLANE, length_scale=5))


def test_neighbours_that_are_far_and_a_sensor_alone():
    """However far the nearest is, there is an edge, in single precision too; of one sensor there is none to another."""
    far = plane([[0, 0], [0, 1000]], length_scale=1, n_neighbors=1)
    assert (check_adjacency(far, 2) > 0).all()
    assert plane([[0, 0]], n_neighbors=1).to_numpy().tolist() == [[1]]


def test_neighbours_at_the_same_place():
    """Of three sensors at one place, each has an edge from one other, not from itself twice."""
    adjacency = plane([[0, 0], [0, 0], [0, 0], [5, 5]], n_neighbors=1, length_scale=5).to_numpy()
    assert_array_equal((adjacency > 0).sum(0), 2)
    assert_array_equal(np.diag(adjacency), 1)


# ---------------------------------------------------------------------------------------------------- names


def test_names_are_carried():
    """The index of a frame names rows and columns; an array and a list have numbers."""
    named = plane(pd.DataFrame(PLANE, NAMES, ["x", "y"]), length_scale=5)
    assert named.index.tolist() == named.columns.tolist() == NAMES
    for unnamed in (PLANE, PLANE.tolist()):
        adjacency = plane(unnamed, length_scale=5)
        assert isinstance(adjacency.index, pd.RangeIndex)
        assert_array_equal(adjacency, named)


def test_labels_put_a_map_in_order():
    """Rows and columns are matched by name, each in its own order, and what is not asked for is left out."""
    shuffled = MAP.loc[["east", "south", "north"], ["south", "north", "east"]]
    assert_array_equal(aligned(shuffled, pd.Index(NAMES)), MAP)
    assert_array_equal(aligned(shuffled, ["south", "north"]), [[0, 0], [0.5, 0]])


def test_labels_put_coordinates_in_order():
    """Rows are matched by name, those of others are left out, and names of columns do not matter."""
    places = pd.DataFrame(PLANE, NAMES, ["south", "lon"])
    shuffled = pd.concat([places.iloc[[1, 2]], places.iloc[:1], places.iloc[:1].rename({"north": "west"})])
    assert_array_equal(aligned(shuffled, pd.Index(NAMES), what="coordinates"), PLANE)
    assert_array_equal(aligned(shuffled, ["south", "north"], what="coordinates"), PLANE[[2, 0]])
    for given in (None, PLANE, PLANE.tolist(), pd.DataFrame(PLANE)):
        assert aligned(given, NAMES, what="coordinates") is given


def test_coordinates_that_lack_a_sensor():
    """The error names the first that is lacking, says how many more, and what to do: coordinates have rows alone."""
    message = (
        r"coordinates lacks sensor 'east', and 1 more of the columns of y\. "
        r"Name its rows like these, or pass a plain array in their order\."
    )
    with pytest.raises(ValueError, match=message):
        aligned(pd.DataFrame(PLANE, NAMES).drop(index="east"), [*NAMES, "west"], what="coordinates")


@pytest.mark.parametrize("given", [None, MAP.to_numpy(), pd.DataFrame(MAP.to_numpy()), sparse.csr_array(MAP)])
def test_maps_without_labels_pass_through(given):
    """An array, a sparse matrix and a frame with numbers for rows are taken to be in order."""
    assert aligned(given, NAMES) is given


@pytest.mark.parametrize("given", [MAP.drop(index="east"), MAP.drop(columns="east")])
def test_map_that_lacks_a_sensor(given):
    """The error names the first that is lacking, says how many more, and what to do."""
    message = (
        r"adjacency lacks sensor 'east', and 1 more of the columns of y\. "
        r"Name its rows and columns like these, or pass a plain array in their order\."
    )
    with pytest.raises(ValueError, match=message):
        aligned(given, [*NAMES, "west"])


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "given",
    [MAP, MAP.to_numpy(), MAP.to_numpy().tolist(), MAP.astype(np.float32).to_numpy(), (2 * MAP).astype(int) / 2]
    + [make(MAP) for make in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array)],
)
def test_maps_become_arrays(given):
    """Frames, lists and sparse matrices of all kinds are one array of float32."""
    adjacency = check_adjacency(given, 3)
    assert type(adjacency) is np.ndarray
    assert adjacency.dtype == np.float32
    assert_array_equal(adjacency, MAP)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.ones((3, 2)),
            r"adjacency has shape \(3, 2\) but 3 sensors need \(3, 3\)\. Pass a row and a column for each sensor",
        ),
        (np.ones((5, 5)), r"adjacency has shape \(5, 5\) but 3 sensors need \(3, 3\)\. Pass a row and a column"),
        (
            MAP - 0.5,
            r"adjacency has elements from -0\.5 to 2\.5 but strengths are positive where there is an edge and 0 "
            r"elsewhere\. Pass strengths, not distances, as adjacency_from_coordinates makes them\.",
        ),
        (0 * MAP, r"adjacency has elements from 0\.0 to 0\.0 but strengths are positive where .*\. Pass strengths"),
        (MAP.replace(3, np.nan), "Input adjacency contains NaN"),
        (MAP.replace(3, np.inf), "Input adjacency contains infinity"),
        (np.ones(3), "Expected 2D array, got 1D array"),
    ],
)
def test_maps_that_are_refused(given, message):
    """The error says what is wrong, what was wanted and given, and what to do."""
    with pytest.raises(ValueError, match=message):
        check_adjacency(given, 3)


@pytest.mark.parametrize(
    ("coordinates", "options", "message"),
    [
        (
            np.ones((3, 5)),
            {},
            r"coordinates has 5 columns but 2 are needed\. Pass latitude and longitude, or x and y\.",
        ),
        (
            [[-6.3, 53.3], [-8.5, 151.9], [97, 361]],
            {},
            r"coordinates reach to \[97\.0, 361\.0\] but latitudes end at 90 degrees and longitudes at 360\. "
            r"Put the latitude first, or use metric='euclidean'\.",
        ),
        ([[0, np.nan], [0, 0]], {}, "Input coordinates contains NaN"),
        (PLANE, dict(n_neighbors=0), r"'n_neighbors' parameter .* must be an int in the range \[1, inf\) or None"),
        (
            PLANE,
            dict(length_scale=0),
            r"'length_scale' parameter .* must be a float in the range \(0\.0, inf\) or None",
        ),
        (PLANE, dict(metric="cosine"), r"'metric' parameter .* must be a str among .*Got 'cosine'"),
    ],
)
def test_coordinates_that_are_refused(coordinates, options, message):
    """So do those about places, of which a latitude cannot be beyond the pole."""
    with pytest.raises(ValueError, match=message):
        adjacency_from_coordinates(coordinates, **options)


def test_any_number_is_a_place_in_a_plane():
    """Only latitudes and longitudes end somewhere."""
    assert plane([[500, 900], [501, 900]], length_scale=1).iloc[0, 1] == pytest.approx(np.exp(-1))


# ------------------------------------------------------------------------------------------- a map, or coordinates

CITIES = [[53.3, -6.3], [51.9, -8.5], [53.2, -6.1]]  # Dublin, Cork, which is far away, and Bray, which is near


def test_map_is_given_or_made():
    """A map is taken as it is, coordinates become the map that they make by default, and without both there is none."""
    assert find_adjacency(None, None, 3) is None
    assert_array_equal(find_adjacency(MAP, None, 3), MAP)
    expected = adjacency_from_coordinates(CITIES).to_numpy(np.float32)
    assert_array_equal(expected > 0, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert 0 < expected[0, 2] < 1
    for places in (CITIES, np.array(CITIES), pd.DataFrame(CITIES, NAMES)):
        found = find_adjacency(None, places, 3)
        assert found.dtype == np.float32
        assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("adjacency", "coordinates", "message"),
    [
        (
            MAP,
            CITIES,
            r"adjacency and coordinates are both given, but one map is used\. Pass one of them, or multiply the map "
            r"with adjacency_from_coordinates\(coordinates\) before\.",
        ),
        (None, CITIES[:2], r"coordinates has 2 rows but there are 3 sensors\. Pass a row for each sensor\."),
        (None, [*CITIES, [0, 0], [1, 1]], r"coordinates has 5 rows but there are 3 sensors\. Pass a row for each"),
        (None, np.ones((3, 5)), r"coordinates has 5 columns but 2 are needed\. Pass latitude and longitude"),
        (None, [[-6.3, 97], [-8.5, 51.9], [97, 53]], r"coordinates reach to .* Put the latitude first"),
        (np.ones((2, 2)), None, r"adjacency has shape \(2, 2\) but 3 sensors need \(3, 3\)\. Pass a row and a column"),
    ],
)
def test_map_that_cannot_be_had(adjacency, coordinates, message):
    """Both at once, or of another number of sensors: the error says what, how many, and what to do."""
    with pytest.raises(ValueError, match=message):
        find_adjacency(adjacency, coordinates, 3)
