"""Reading machine code: listings of a few instructions whose loops are known, and a real cubin."""

from __future__ import annotations

from pathlib import Path

import pytest

from fgvc_kernels.aot.build import KernelBuild, compile_kernel
from fgvc_kernels.aot.chips import CHIPS
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import figures
from fgvc_kernels.aot.machine_code import Flow, MachineCode, flow, parse_listing, parse_parameters, read_cubin


def listing(*lines: str) -> str:
    """An `nvdisasm -c` listing: lines that end in a colon are labels."""
    numbered: list[str] = []
    for line in lines:
        address = 16 * sum(not earlier.endswith(":") for earlier in numbered)
        numbered.append(line if line.endswith(":") else f"        /*{address:04x}*/    {line} ;")
    return "\n".join(["\t.section\t.text.k", "        .size  k,(.L_x_9 - k)", *numbered])


def flow_of(*lines: str) -> Flow:
    instructions, labels = parse_listing(listing(*lines))
    return flow(MachineCode(instructions, labels, registers=1, frame_bytes=0, parameters=()))


def test_a_listing_is_read_with_guards_modifiers_and_labels() -> None:
    instructions, labels = parse_listing(listing("k:", "MOV R1, R2", ".L_x_0:", "@!P0 LDG.E.128 R4, [R2.64]", "EXIT"))
    assert [step.address for step in instructions] == [0, 16, 32]
    load = instructions[1]
    assert (load.guard, load.opcode, load.base, load.operands) == ("@!P0", "LDG.E.128", "LDG", "R4, [R2.64]")
    assert labels == {"k": 0, ".L_x_0": 1}


def test_nested_loops_are_found_with_their_bodies() -> None:
    found = flow_of(
        "MOV R1, R2",
        ".L_x_0:",
        "MOV R1, R2",
        ".L_x_1:",
        "HMMA.16816.F32 R1, R2, R3, R4",
        "@P0 BRA `(.L_x_1)",
        "@P1 BRA `(.L_x_0)",
        "EXIT",
    )
    assert found.loops == (frozenset({1, 2, 3, 4}), frozenset({2, 3}))
    assert found.reached == frozenset(range(6))


def test_a_block_that_lies_behind_the_loop_belongs_to_it() -> None:
    found = flow_of(
        ".L_x_0:", "@P1 BRA `(.L_x_2)", ".L_x_1:", "@P0 BRA `(.L_x_0)", "EXIT", ".L_x_2:", "NOP", "BRA `(.L_x_1)"
    )
    assert found.loops == (frozenset({0, 1, 3, 4}),)


@pytest.mark.parametrize(
    "jump",
    ["BRA.DIV ~URZ, `(.L_x_2)", "@!PT BRA `(.L_x_2)", "BRA.U !UPT, `(.L_x_2)"],
    ids=["divergent", "never", "never uniform"],
)
def test_paths_that_whole_warps_never_take_are_left_out(jump: str) -> None:
    found = flow_of(".L_x_0:", jump, "@P0 BRA `(.L_x_0)", "EXIT", ".L_x_2:", "NOP", "BRA `(.L_x_0)")
    assert found.reached == frozenset({0, 1, 2})
    assert found.loops == (frozenset({0, 1}),)


def test_a_call_within_the_kernel_leaves_the_loop_and_one_of_a_function_returns() -> None:
    found = flow_of(
        ".L_x_0:",
        "@!P0 CALL.REL.NOINC `(.L_x_1)",
        "CALL.REL.NOINC `($helper)",
        "BRA `(.L_x_0)",
        ".L_x_1:",
        "EXIT",
        "$helper:",
        "NOP",
        "RET.REL.NODEC R2 `(k)",
    )
    assert found.loops == (frozenset({0, 1, 2}),)
    assert found.reached == frozenset(range(6))


def test_a_jump_to_a_computed_address_is_refused() -> None:
    with pytest.raises(AotError, match="BRX at 0x10 jumps to a computed address"):
        flow_of("NOP", "BRX R2 -0x10", "EXIT")


def test_parameters_come_in_order_and_none_may_be_missing() -> None:
    entry = "Value:	Index : 0x0	Ordinal : {0:#x}	Offset  : {1:#x}	Size    : {2:#x}\n"
    text = entry.format(1, 8, 4) + entry.format(0, 0, 8)
    assert parse_parameters(text) == ((0, 8), (8, 4))
    with pytest.raises(AotError, match="incomplete: it describes"):
        parse_parameters(entry.format(1, 8, 4))


@pytest.mark.parametrize("chip", ["sm_80", "sm_87", "sm_90", "sm_100", "sm_120"])
def test_the_figures_of_a_matrix_product(toy: KernelBuild, chip: str, build_cache: Path) -> None:
    compiled = compile_kernel(toy, CHIPS[chip], build_cache)
    found = figures(compiled)
    code = read_cubin(compiled.cubin, compiled.symbol)
    assert sum(step.base == CHIPS[chip].tensor for step in code.instructions) == found.tensor > 0
    # The tiles of A and B, 4 KB each, in 16 bytes per thread of 128: two copies each, in the loop and two ahead.
    assert found.async_copies == found.async_copies_128 == {"sm_100": 16}.get(chip, 12)
    assert (found.frame_bytes, found.local_accesses, found.loads) == (0, 0, 0)
    assert 0 < found.tensor_loop <= found.loop_instructions < found.instructions
    assert [size for _, size in code.parameters] == [8, 8, 8, 4, 4, 8, 8]


def test_a_cubin_without_the_function_is_named(toy: KernelBuild, build_cache: Path) -> None:
    compiled = compile_kernel(toy, CHIPS["sm_87"], build_cache)
    with pytest.raises(AotError, match="holds no function 'other'; it has product"):
        read_cubin(compiled.cubin, "other")
    with pytest.raises(AotError, match="nvdisasm refused its input"):
        read_cubin(b"no cubin", "product")
