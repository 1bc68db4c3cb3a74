//# what: code is equal, but after a fault it goes on at another instruction
//# changed: copy_pair
//# machines: x86_64 aarch64 s390x loongarch64
#include "kernel.h"

#ifdef PATCHED
#define RESUME "2b"
#else
#define RESUME "3b"
#endif

u32 copy_pair(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: " LOAD_U32 "\n2: " ADD_5 "\n3:\n" EXTABLE("1b", RESUME, "1")
		     : "+r"(value)
		     : "m"(*from));
	write_register(0, value);
	return value;
}

u32 copy_single(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: " LOAD_U32 "\n2: " ADD_5 "\n3:\n" EXTABLE("1b", "3b", "1")
		     : "+r"(value)
		     : "m"(*from));
	write_register(1, value);
	return value;
}
