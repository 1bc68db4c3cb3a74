//# what: nothing but a comment differs
//# exit: 3
#include "kernel.h"

u32 checksum(const u8 *data, u32 length)
{
	u32 sum = 0;

#ifdef PATCHED
	/* One byte at a time: the length need not be a multiple of four. */
#endif
	while (length--)
		sum = (sum << 1) ^ *data++;
	return sum;
}

static u32 rounds;

void count_round(void)
{
	rounds++;
	write_register(1, rounds);
}
