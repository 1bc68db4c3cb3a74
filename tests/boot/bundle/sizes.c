// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0
/* Compiled to assembly only: tells the sizes of the rows of the kernel's tables. */
#include <linux/bug.h>
#include <linux/jump_label.h>
#include <linux/kbuild.h>
#include <linux/printk.h>
#include <linux/static_call.h>
#include <asm/alternative.h>
#include <asm/extable.h>
#include <asm/orc_types.h>

int main(void)
{
	DEFINE(ALT_STRUCT_SIZE, sizeof(struct alt_instr));
	DEFINE(BUG_STRUCT_SIZE, sizeof(struct bug_entry));
	DEFINE(EX_STRUCT_SIZE, sizeof(struct exception_table_entry));
	DEFINE(JUMP_STRUCT_SIZE, sizeof(struct jump_entry));
	DEFINE(ORC_STRUCT_SIZE, sizeof(struct orc_entry));
	DEFINE(PRINTK_INDEX_STRUCT_SIZE, sizeof(struct pi_entry));
	DEFINE(STATIC_CALL_STRUCT_SIZE, sizeof(struct static_call_site));
	return 0;
}
