//# what: code is equal, but the __ex_table row asks for another treatment of the fault
//# changed: probe_word
//# machines: x86_64 aarch64 s390x loongarch64
#include "kernel.h"

#ifdef PATCHED
#define TREATMENT "17"
#else
#define TREATMENT "3"
#endif

u32 probe_word(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: " LOAD_U32 "\n2:\n" EXTABLE("1b", "2b", TREATMENT)
		     : "+r"(value)
		     : "m"(*from));
	write_register(0, value);
	return value;
}

u32 probe_twice(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: " LOAD_U32 "\n2:\n" EXTABLE("1b", "2b", "3") : "+r"(value) : "m"(*from));
	write_register(1, value);
	return value + value;
}
