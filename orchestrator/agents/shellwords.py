"""The simple commands in a shell text, as well as they can be told without running it. Pure, linear, never raises.

Not a shell: variables, aliases, arithmetic and brace expansion are not followed. What is found is what an honest agent writes; whoever
wants to hide a command can.
"""

import re
from dataclasses import dataclass, field

_WITH_ESCAPES = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|([\\'\"?nt]))")


@dataclass(slots=True)
class Simple:
    """One command: ``words`` without quotes, ``reads`` what it is redirected from, ``bodies`` of here documents and here strings.
    ``expanded``: those bodies in which a shell runs what stands in ``$(`` and backticks. ``within``: the command among whose words its
    output stands. ``pipeline``: the commands from ``|`` to ``|``, this one among them."""

    words: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    expanded: list[str] = field(default_factory=list)
    within: "Simple | None" = None
    pipeline: "list[Simple]" = field(default_factory=list, repr=False)


@dataclass(slots=True)
class _Frame:
    """What is open at one level: the text's own, that of a ``$(``, a ``(`` or a backtick."""

    closing: str
    command: Simple = field(default_factory=Simple)
    word: list[str] = field(default_factory=list)
    started: bool = False  # also by empty quotes
    quoted: bool = False  # within double quotes
    after: str = ""  # what the next word is: "<", ">", "<<", "<<-", "<<<"
    bare: bool = True  # nothing of the word was quoted
    within: Simple | None = None
    pipeline: list[Simple] = field(default_factory=list)


def simple_commands(text: str) -> list[Simple]:
    reader = _Reader(text)
    reader.read()
    return reader.found


def _unescaped(found: "re.Match[str]") -> str:
    byte, short, long, octal, sign = found.groups()
    if sign is not None:
        return {"n": "\n", "t": "\t"}.get(sign, sign)
    number = int(octal, 8) & 0xFF if octal is not None else int(byte or short or long, 16)
    return chr(number) if number < 0x110000 else found[0]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._frames = [_Frame("")]
        self._documents: list[tuple[str, bool, bool, Simple]] = []  # that begin after this line
        self.found: list[Simple] = []

    def read(self) -> None:
        while self._at < len(self._text):
            if self._frames[-1].quoted:
                self._in_quotes()
            else:
                self._outside()
        while self._frames:
            self._end_command()
            self._frames.pop()

    # --- one step

    def _in_quotes(self) -> None:
        frame, character = self._frames[-1], self._text[self._at]
        if character == '"':
            frame.quoted = False
            self._at += 1
        elif character == "\\":
            self._put(self._text[self._at + 1 : self._at + 2], 2)
        elif self._text.startswith("$(", self._at):
            self._open(")", 2)
        elif character == "`":
            self._open("`", 1)
        else:
            self._put(character, 1)

    def _outside(self) -> None:
        frame, character = self._frames[-1], self._text[self._at]
        two = self._text[self._at : self._at + 2]
        if character == "\\":
            if two == "\\\n":
                self._at += 2
            else:
                frame.bare = False
                self._put(two[1:], 2)
        elif two == "$'":
            self._single_with_escapes()
        elif character == "'":
            self._single()
        elif character == '"':
            frame.quoted, frame.started, frame.bare = True, True, False
            self._at += 1
        elif two in ("$(", "<(", ">("):
            self._open(")", 2)
        elif character == "`":
            if frame.closing == "`":
                self._close(1)
            else:
                self._open("`", 1)
        elif character == "$" and (skip := self._separator_variable()):
            self._end_word()
            self._at += skip
        elif character == "#" and not frame.started:
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        elif character in " \t\r":
            self._end_word()
            self._at += 1
        elif character in "<>" or two == "&>":
            self._redirection()
        elif character == "(":
            self._end_command()
            self._open(")", 1, is_word=False)
        elif character == ")" and frame.closing == ")":
            self._close(1)
        elif character == "\n":
            self._end_command()
            self._at += 1
            self._read_documents()
        elif character in ";&|)":
            self._end_command(piped=character == "|" and two != "||")
            self._at += 2 if two in ("||", "|&") else 1
        else:
            self._put(character, 1)

    def _put(self, text: str, width: int) -> None:
        frame = self._frames[-1]
        frame.word.append(text)
        frame.started = True
        self._at += width

    def _single(self) -> None:
        frame, start = self._frames[-1], self._at + 1
        end = self._text.find("'", start)
        end = len(self._text) if end < 0 else end
        frame.word.append(self._text[start:end])
        frame.started, frame.bare = True, False
        self._at = end + 1

    def _single_with_escapes(self) -> None:
        """``$'\\x63url'``."""
        frame, found = self._frames[-1], _WITH_ESCAPES.match(self._text, self._at + 2)
        body = found[0] if found else ""
        frame.word.append(_ESCAPE.sub(_unescaped, body))
        frame.started, frame.bare = True, False
        self._at += 2 + len(body) + 1

    def _separator_variable(self) -> int:
        """``$IFS`` stands for a blank."""
        return next((len(name) for name in ("${IFS}", "$IFS") if self._text.startswith(name, self._at)), 0)

    # --- levels

    def _open(self, closing: str, width: int, *, is_word: bool = True) -> None:
        """``is_word``: what is opened stands for a part of a word; a group of commands does not."""
        outer = self._frames[-1]
        outer.started |= is_word
        self._frames.append(_Frame(closing, within=outer.command if is_word else outer.within))
        self._at += width

    def _close(self, width: int) -> None:
        self._end_command()
        self._frames.pop()
        self._at += width

    # --- words and commands

    def _redirection(self) -> None:
        frame = self._frames[-1]
        if frame.bare and "".join(frame.word[-2:]).isdigit() and len(frame.word) <= 2:
            frame.word, frame.started = [], False  # the number of a descriptor
        self._end_word()
        operators = ("<<<", "<<-", "<<", "<&", "<>", "<", "&>>", "&>", ">>", ">&", ">|", ">")
        operator = next(one for one in operators if self._text.startswith(one, self._at))
        self._at += len(operator)
        frame.after = operator if operator.startswith("<<") else "<" if operator in ("<", "<>") else ">"

    def _end_word(self) -> None:
        frame = self._frames[-1]
        if not frame.started:
            return
        word, command = "".join(frame.word), frame.command
        if frame.after == "":
            command.words.append(word)
        elif frame.after == "<":
            command.reads.append(word)
        elif frame.after == "<<<":
            command.bodies.append(word)
        elif frame.after.startswith("<<"):
            self._documents.append((word, frame.after == "<<-", frame.bare, command))
        frame.word, frame.started, frame.after, frame.bare = [], False, "", True

    def _end_command(self, *, piped: bool = False) -> None:
        self._end_word()
        frame = self._frames[-1]
        frame.after = ""
        command = frame.command
        if command.words or command.reads or command.bodies or any(command is one for *_, one in self._documents[-1:]):
            frame.command = Simple()
            command.within, command.pipeline = frame.within, frame.pipeline
            self.found.append(command)
            frame.pipeline.append(command)
            if not piped:
                frame.pipeline = []

    def _read_documents(self) -> None:
        for delimiter, tabs, is_expanded, command in self._documents:
            start, stop = self._at, len(self._text)
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    stop, self._at = self._at, end + 1
                    break
                self._at = end + 1
            command.bodies.append(self._text[start:stop])
            if is_expanded:
                command.expanded += command.bodies[-1:]
        self._documents = []
