"""Plain technical English where users read, and docstrings that start well."""

import ast
import re

import pytest
import user_text

# What an engineer who has never seen the project would stumble over -> what to write instead.
BANNED = {
    r"\bhouses?\b": "architecture",
    r"\bfloors?\b(?! ?=)": "layers; of durability: at least",
    r"\brooms?\b": "package; of disks: space",
    r"\bthe face\b": "public API",
    r"\bis no number\b": "must be a number / must be 1 or more, got 0",
    r"(?<!there )\bis no (?:JSON|TOML|tensor|file|folder|store|key|plan|model|list|name|table)\b":
        "is not a ...",
    r"\bbears? (?:no|the) loss": "cannot survive losing",
    r"\bwould cost\b": "costs / would take",
    r"\bmend(?:s|ed|ing)?\b": "fix, repair",
    r"\bforetell|\bforetold\b": "predict",
    r"\banew\b": "again",
    r"\bwholly\b": "completely",
    r"\bin vain\b": "for nothing",
    r"\bfor want of\b": "because there is no",
    r"\bgives? back\b": "returns",
    r"\bby itself moves\b": "moves automatically",
    r"\bto heed\b|\bheeds?\b": "observe",
    r"\bof it is objects\b": "storage efficiency",
    r"\bnines a year by\b": "durability: at least N nines a year",
    r"\btell each call\b": "log every call",
    r"\bthat nobody can see any ?more\b": "deleted",
}  # fmt: skip
# Terms of the field: the operator, the function, the setting.
TERMS = re.compile(
    r"\bFloor\b|floor_nines|floor\(|offline_floor|hang_floor|\.floor\b|`floor`|\"(?:floor|room)\"|make_room|room_nbytes|"
    r"deepseek_core\.cli"
)
STARTS = re.compile(r"^(?:Of|Those|Its|That|As|Who|Whom|Whose)\b")


def found(texts):
    for text in texts:
        plain = TERMS.sub("", text.text)
        for pattern, instead in BANNED.items():
            for match in re.finditer(pattern, plain, re.I):
                yield f"{text.where}: {match[0]!r} -> {instead}"


@pytest.mark.parametrize("texts", [user_text.pages, user_text.docstrings, user_text.messages])
def test_what_users_read_has_no_word_of_the_old_dialect(texts):
    assert list(found(texts())) == []


def test_each_collection_finds_much():
    assert sum(1 for _ in user_text.pages()) > 1500
    assert sum(1 for _ in user_text.docstrings()) > 3000
    assert sum(1 for _ in user_text.messages()) > 3000


@pytest.mark.parametrize(
    "text",
    ["make room on the disk", "'0' is no number of 1 or more", "it mends itself", "The face"],
)
def test_a_word_of_the_dialect_is_found(text):
    assert list(found([user_text.Text(kind="message", where="here", text=text)]))


@pytest.mark.parametrize("text", ["`ai.onnx::Floor` rounds", "there is no file", "floor_nines=9"])
def test_terms_of_the_field_stay(text):
    assert list(found([user_text.Text(kind="message", where="here", text=text)])) == []


def test_a_docstring_begins_with_a_verb_or_names_its_noun():
    wrong = []
    for path, tree in user_text.modules():
        for node in ast.walk(tree):
            holder = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            text = ast.get_docstring(node) if isinstance(node, holder) else None
            if text and STARTS.match(text):
                wrong.append(f"{path.relative_to(user_text.ROOT)}: {text.splitlines()[0]}")
    assert wrong == []


@pytest.mark.parametrize("start", ["Of the file.", "Those that fit.", "Its size.", "As JSON."])
def test_a_bad_beginning_is_found(start):
    assert STARTS.match(start)
