"""Error messages for wrong values."""

from typing import Any

from adapt.config import AdamWConfig, SGDConfig
from adapt.errors import nearest

TAGS = {"sgd": SGDConfig, "adamw": AdamWConfig}


def explain(problem: Any, model: Any) -> str:
    """Format one of pydantic's errors as `key: expected …, got …`."""
    *above, last = problem["loc"] or ("",)
    loc = [part for part in above if not (isinstance(part, str) and "[" in part)]  # drop union branches
    if problem["type"] == "extra_forbidden" or not (isinstance(last, str) and "[" in last):
        loc.append(last)
    names = [part for part in loc if part not in TAGS]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).lstrip(".")
    got = problem["input"]
    match problem["type"]:
        case "value_error":
            return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
        case "extra_forbidden":
            return f"{key}: unknown key; {nearest(str(loc[-1]), known_keys(model, loc))}"
        case "too_short":
            return f"{key}: expected {problem['ctx']['min_length']} or more, got {got!r}"
        case "too_long":
            return f"{key}: expected {problem['ctx']['max_length']}, got {got!r}"
        case "invalid_key":
            return f"{key}: a key is a word"
        case "missing":
            return f"{key}: missing"
        case "literal_error":
            hint = f"; {nearest(got, literals(problem))}" if isinstance(got, str) else ""
            return f"{key}: expected {problem['ctx']['expected']}, got {got!r}{hint}"
        case "union_tag_invalid":
            return f"{key}.name: expected {' or '.join(map(repr, TAGS))}, got {problem['ctx']['tag']!r}"
        case "union_tag_not_found":
            return f"{key}.name: missing"
        case _:
            expected = (
                problem["msg"]
                .removeprefix("Input should be ")
                .removeprefix("a valid ")
                .partition(" or instance of ")[0]
            )
            return f"{key}: expected {expected}, got {got!r}"


def known_keys(model: Any, loc: list[Any]) -> list[str]:
    """Return the known keys at the level of the last key of a path."""
    for part in loc[:-1]:
        model = TAGS[part] if part in TAGS else model.model_fields[part].annotation
    return list(model.model_fields)


def literals(problem: Any) -> list[str]:
    """Return the values that pydantic lists as expected."""
    return problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
