"""Sliders below a figure, which redraw it in its place.

The figure itself is an ordinary one: it is on disk, on the page of its notebook, and stays where
there is no kernel.
"""

from collections.abc import Callable, Sequence

from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from recon.figures.saving import redraw, save
from recon.study.study import Study

try:
    import ipywidgets
except ImportError:  # The figure is there without.
    ipywidgets = None


def browse(
    study: Study, draw: Callable[..., Figure], name: str, start: dict | None = None, **choices
) -> None:
    """Saves ``draw(**choice)`` as NAME, and shows sliders that draw other choices in its place.

    ``choices`` are sequences of numbers by the names of the parameters of ``draw``. The figure is
    that of the middle of each, unless ``start`` says otherwise. In a notebook with ipywidgets each
    sequence of several numbers has a slider.
    """
    first = {key: values[len(values) // 2] for key, values in choices.items()} | (start or {})
    save(study, draw(**first), name)
    moved = {key: values for key, values in choices.items() if len(values) > 1}
    if get_ipython() and ipywidgets and moved:
        display(sliders(lambda chosen: redraw(draw(**(first | chosen)), name), first, moved))


def sliders(
    show: Callable[[dict], None], first: dict, choices: dict[str, Sequence]
) -> "ipywidgets.VBox":
    """A slider for each of the ``choices``; ``show`` is called with what is chosen on each move."""
    made = {
        key: ipywidgets.SelectionSlider(
            options=[(f"{value:g}", value) for value in values],
            value=first[key],
            description=key,
            continuous_update=False,
        )
        for key, values in choices.items()
    }
    for slider in made.values():
        slider.observe(lambda _: show({k: s.value for k, s in made.items()}), names="value")
    return ipywidgets.VBox(list(made.values()))
