"""A small expression over readings, such as `inside - outside` or `dew_point(t, humidity)`.

Python's parser makes the tree, and only numbers, names, `+ - * / **`, signs, parentheses and the
functions below are accepted; the tree is walked here. Nothing is compiled or executed.

Dew point and absolute humidity use the Magnus formula with the constants of WMO Guide no. 8 over
water: e_s = 6.112 hPa · exp(17.62 T / (243.12 °C + T)).
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from protoledger.sensors.errors import ReadFailed

MOST_CHARACTERS = 300
_A, _B_C, _E0_HPA = 17.62, 243.12, 6.112
# Water's molar mass over the gas constant, in g K/J, times 100 Pa/hPa.
_GRAMS_PER_HPA = 100 * 2.16679


def dew_point(temperature_c: float, humidity: float) -> float:
    """The dew point in °C of air with a relative humidity in percent.

    >>> round(dew_point(20.0, 50.0), 1)
    9.3
    """
    gamma = math.log(humidity / 100) + _A * temperature_c / (_B_C + temperature_c)
    return _B_C * gamma / (_A - gamma)


def absolute_humidity(temperature_c: float, humidity: float) -> float:
    """The water in air, in g/m³, at a relative humidity in percent.

    >>> round(absolute_humidity(20.0, 50.0), 1)
    8.6
    """
    pressure_hpa = humidity / 100 * _E0_HPA * math.exp(_A * temperature_c / (_B_C + temperature_c))
    return _GRAMS_PER_HPA * pressure_hpa / (temperature_c + 273.15)


_FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {
    "dew_point": (dew_point, 2, 2),
    "absolute_humidity": (absolute_humidity, 2, 2),
    "abs": (abs, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "log": (math.log, 1, 1),
    "exp": (math.exp, 1, 1),
    "min": (min, 2, 20),
    "max": (max, 2, 20),
}
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class Expression:
    """An expression that was checked.

    Args:
        text: at most `MOST_CHARACTERS`.

    Raises:
        ValueError: it is not such an expression; says what is wrong.

    Attributes:
        names: the readings that it needs.

    >>> Expression("(a + b) / 2").value({"a": 1.0, "b": 4.0})
    2.5
    """

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"it has more than {MOST_CHARACTERS} characters")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError("it is not an expression: write it as inside - outside") from None
        self._names: set[str] = set()
        self._check(self._tree)
        self.names = frozenset(self._names)
        if not self.names:
            raise ValueError("it names no reading")

    def value(self, readings: Mapping[str, float]) -> float:
        """Compute the value.

        Raises:
            ReadFailed: it is not defined for these readings, such as a division by 0.
        """
        try:
            value = self._evaluate(self._tree, readings)
        except (ArithmeticError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ReadFailed("the expression is not defined for the present readings")
        return value

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                if not _is_finite(number):
                    raise ValueError("a number in it is too large")
            case ast.Name(id=name):
                self._names.add(name)
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
                self._check(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                self._check(left)
                self._check(right)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                self._check_call(name, arguments)
            case _:
                raise ValueError(
                    f"{ast.unparse(node)[:40]!r} is not allowed: use numbers, names of readings, "
                    f"+ - * / ** and {', '.join(_FUNCTIONS)}"
                )

    def _check_call(self, name: str, arguments: list[ast.expr]) -> None:
        if name not in _FUNCTIONS:
            raise ValueError(f"there is no function {name!r}: there are {', '.join(_FUNCTIONS)}")
        _, least, most = _FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"{name} needs {wanted} arguments, not {len(arguments)}")
        for argument in arguments:
            self._check(argument)

    def _evaluate(self, node: Any, readings: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return readings[name]
            case ast.UnaryOp(op=sign, operand=operand):
                return _SIGNS[type(sign)](self._evaluate(operand, readings))
            case ast.BinOp(left=left, op=sign, right=right):
                one, two = self._evaluate(left, readings), self._evaluate(right, readings)
                return _OPERATORS[type(sign)](one, two)
            case _:
                function, _, _ = _FUNCTIONS[node.func.id]
                return float(function(*(self._evaluate(arg, readings) for arg in node.args)))


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False
