"""Read a cubin: its instructions, the loops they form, and the parameters the function takes.

Only reading; what the counts mean is in `figures.py`.  The text formats are those of nvdisasm and cuobjdump 13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.tools import dump

# The predicates PT and UPT are always true.
_NEVER = ("@!PT", "@!UPT")


class Instruction(NamedTuple):
    """One machine instruction: byte address, its guard ('' or `@P0`, `@!UP1`), `LDG.E.128`, and the rest."""

    address: int
    guard: str
    opcode: str
    operands: str

    @property
    def base(self) -> str:
        """The opcode without modifiers: `LDG`."""
        return self.opcode.partition(".")[0]


class Parameter(NamedTuple):
    """Where the function expects one parameter: byte offset into the parameter block, and its size."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class MachineCode:
    """One kernel function with the functions it calls; `labels` maps a name to the index of its instruction."""

    instructions: tuple[Instruction, ...]
    labels: Mapping[str, int]
    registers: int
    frame_bytes: int
    parameters: tuple[Parameter, ...]


_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;?\s*$")
_LABEL = re.compile(r"^([.$\w]+):\s*$")
_PARAMETER = re.compile(r"Ordinal\s*:\s*0x([0-9a-f]+)\s+Offset\s*:\s*0x([0-9a-f]+)\s+Size\s*:\s*0x([0-9a-f]+)")


def read_cubin(cubin: bytes, symbol: str) -> MachineCode:
    """The function called `symbol`; raises `AotError` when a tool fails or the cubin does not hold it."""
    instructions, labels = parse_listing(dump("nvdisasm", cubin, "-c"))
    facts = dump("cuobjdump", cubin, "-elf")
    if symbol not in labels:
        raise AotError(f"The cubin holds no function {symbol!r}; it has {', '.join(labels) or 'none'}.")
    registers = _attribute(facts, "EIATTR_REGCOUNT", rf"{re.escape(symbol)}\(\w+\)\s+register count:\s*(\d+)")
    frame = _attribute(facts, "EIATTR_FRAME_SIZE", rf"{re.escape(symbol)}\(\w+\)\s+frame size:\s*(0x[0-9a-f]+)")
    return MachineCode(instructions, labels, registers, frame, parse_parameters(facts))


def parse_listing(text: str) -> tuple[tuple[Instruction, ...], dict[str, int]]:
    """Instructions of an `nvdisasm -c` listing in order, and the index that each label stands before."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if match := _INSTRUCTION.match(line):
            address, guard, opcode, operands = match.groups()
            instructions.append(Instruction(int(address, 16), guard or "", opcode, operands))
        elif match := _LABEL.match(line):
            labels[match[1]] = len(instructions)
    return tuple(instructions), labels


def parse_parameters(facts: str) -> tuple[Parameter, ...]:
    """Parameters from the EIATTR_KPARAM_INFO entries of a `cuobjdump -elf` dump, in order."""
    found = {int(n, 16): Parameter(int(offset, 16), int(size, 16)) for n, offset, size in _PARAMETER.findall(facts)}
    if sorted(found) != list(range(len(found))):
        raise AotError(f"The cubin's parameter table is incomplete: it describes {sorted(found)}.")
    return tuple(found[n] for n in range(len(found)))


def _attribute(facts: str, name: str, value: str) -> int:
    match = re.search(rf"Attribute:\s+{name}\s+Format:\s+\w+\s+Value:\s+function:\s*{value}", facts)
    if match is None:
        raise AotError(f"The cubin says no {name}; this triton's tools write another format than the one known here.")
    return int(match[1], 0)


def successors(code: MachineCode) -> list[tuple[int, ...]]:
    """For each instruction those that may run next, by index, when the threads of a warp stay together.

    Functions return, so a call of one counts as falling through; a call of a place within the kernel is ptxas's way
    to leave a loop for good.  `BRA.DIV` is left out: it is taken by warps that have diverged, to a slow copy of the
    same work.  Raises `AotError` for jumps to computed addresses.
    """
    return [_next(code, index, step) for index, step in enumerate(code.instructions)]


def _next(code: MachineCode, index: int, step: Instruction) -> tuple[int, ...]:
    following = (index + 1,) if index + 1 < len(code.instructions) else ()
    condition, _, label = step.operands.partition("`")
    if step.base in ("BRX", "BRXU", "JMX", "JMP"):
        raise AotError(f"Instruction {step.opcode} at {step.address:#x} jumps to a computed address: not understood.")
    if step.guard in _NEVER or condition.startswith("!UPT") or step.opcode.startswith("BRA.DIV"):
        return following
    if step.base in ("EXIT", "RET"):
        return following if step.guard else ()
    if step.base == "BRA" or (step.base == "CALL" and label.startswith("(.L")):
        target = code.labels[label.strip("()")]
        return (*following, target) if step.guard or condition.strip() else (target,)
    return following


class Flow(NamedTuple):
    """Indices of the instructions that can run, and the loops among them, by first instruction."""

    reached: frozenset[int]
    loops: tuple[frozenset[int], ...]


def flow(code: MachineCode) -> Flow:
    """What runs and in which loops; several ways back to one instruction are one loop."""
    after = successors(code)
    before: dict[int, list[int]] = {}
    found: dict[int, set[int]] = {}
    reached, edges = _walk(after, _entries(code))
    for node in sorted(reached):
        for target in after[node]:
            before.setdefault(target, []).append(node)
    for tail, head in edges:
        found.setdefault(head, {head}).update(_body(before, tail, head))
    return Flow(frozenset(reached), tuple(frozenset(found[head]) for head in sorted(found)))


def _entries(code: MachineCode) -> list[int]:
    """Where the kernel starts, and where the functions that it calls start."""
    calls = [step.operands.partition("`")[2].strip("()") for step in code.instructions if is_call(step)]
    return [0, *(code.labels[name] for name in calls)]


def is_call(step: Instruction) -> bool:
    """Whether an instruction calls a function outside the kernel's own code."""
    return step.base == "CALL" and "`(.L" not in step.operands and step.guard not in _NEVER


def _walk(after: Sequence[tuple[int, ...]], entries: Sequence[int]) -> tuple[set[int], list[tuple[int, int]]]:
    """What is reached from `entries`, and the edges back to an instruction whose exploration is not finished."""
    reached: set[int] = set()
    finished: set[int] = set()
    edges: list[tuple[int, int]] = []
    for entry in entries:
        stack = [] if entry in reached else [(entry, 0)]
        while stack:
            node, taken = stack.pop()
            reached.add(node)
            if taken == len(after[node]):
                finished.add(node)
                continue
            stack.append((node, taken + 1))
            target = after[node][taken]
            if target not in reached:
                stack.append((target, 0))
            elif target not in finished:
                edges.append((node, target))
    return reached, edges


def _body(before: Mapping[int, Sequence[int]], tail: int, head: int) -> set[int]:
    """Instructions from which `tail` is reached without passing `head`."""
    body, waiting = {tail, head}, [tail]
    while waiting:
        node = waiting.pop()
        fresh = [n for n in before.get(node, ()) if n not in body] if node != head else []
        body.update(fresh)
        waiting += fresh
    return body
