//# what: a function whose implementation the loader picks (STT_GNU_IFUNC) stands beside a changed one
//# changed: copy_block
//# only: gcc
//# machines: x86_64
#include "kernel.h"

static u32 plain_sum(u32 value)
{
	return read_register(value);
}

static u32 (*pick_sum(void))(u32)
{
	return plain_sum;
}

u32 sum(u32 value) __attribute__((ifunc("pick_sum")));

void copy_block(u32 block)
{
#ifdef PATCHED
	wait_for(block);
#endif
	write_register(block, 3);
}
