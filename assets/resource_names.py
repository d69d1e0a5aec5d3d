"""Resources under names of their own, where several universes or another project share a code location."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg


def prefixed(body: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """The body of an asset, a check, an op or a sensor, which asks for its resources under longer names.

    Dagster takes the name of a resource from the parameter's. Within one code location each name stands for one
    resource.

    Args:
        body: whose annotations are objects, not text.
        prefix: what comes before the name of each resource; nothing changes if it is empty.
    """
    if not prefix:
        return body
    signature, own = inspect.signature(body), dict[str, str]()
    parameters = list[inspect.Parameter]()
    for parameter in signature.parameters.values():
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, dg.ConfigurableResource):
            own[f"{prefix}{parameter.name}"] = parameter.name
            parameter = parameter.replace(name=f"{prefix}{parameter.name}")
        parameters.append(parameter)

    def given(named: dict[str, Any]) -> dict[str, Any]:
        return {own.get(name, name): value for name, value in named.items()}

    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def call(*args: Any, **named: Any) -> Iterator[Any]:
            yield from body(*args, **given(named))

    else:

        @functools.wraps(body)
        def call(*args: Any, **named: Any) -> Any:
            return body(*args, **given(named))

    longer = {name: new for new, name in own.items()}
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {longer.get(name, name): kind for name, kind in body.__annotations__.items()}
    return call
