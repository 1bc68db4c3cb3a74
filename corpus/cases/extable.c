//# what: a changed function has a row in __ex_table, and so has an unchanged one
//# changed: fetch_word
//# machines: x86_64 aarch64 s390x loongarch64
#include "kernel.h"

int fetch_word(const u32 *from, u32 *to)
{
	u32 value = 0;

	asm volatile("1: " LOAD_U32 "\n2:\n" EXTABLE("1b", "2b", "3") : "+r"(value) : "m"(*from));
#ifdef PATCHED
	if (value == 0xffffffff)
		return -14;
#endif
	*to = value;
	return 0;
}

int store_word(u32 *to, u32 value)
{
	asm volatile("1: " STORE_U32 "\n2:\n" EXTABLE("1b", "2b", "3") : "=m"(*to) : "r"(value));
	wait_for(value);
	return 0;
}
