"""What a parameter names: a part that comes with the package, or a class of the user's own."""


def component(options, choice):
    """The class that `choice` names in the dictionary `options`, or `choice` itself if it is a class."""
    return choice if isinstance(choice, type) else options[choice]
