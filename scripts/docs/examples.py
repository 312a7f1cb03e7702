"""Lets the reference show the examples in docstrings (`>>> …`) as code, wherever they stand."""

import re

import griffe

# from a line with a prompt to the next empty line, as doctest reads it
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts a fence around each example."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite one docstring, before it is parsed into sections."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
