/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/demo.h>

.macro DEMO_SAVE reg:req
	pushq	\reg
.endm

SYM_CODE_START(entry_demo_64)
	DEMO_SAVE %rax
	call	demo_open
	# call demo_next, says a comment
	jmp	demo_asm_tail
SYM_CODE_END(entry_demo_64)

SYM_FUNC_START_LOCAL(demo_asm_tail)
.Llocal:
	ret
SYM_FUNC_END(demo_asm_tail)
SYM_FUNC_ALIAS(demo_asm_alias, demo_asm_tail)

SYM_DATA(demo_asm_word, .long 7)

demo_old_label:
	ret
