//# what: code is equal, but after a fault it goes on at another instruction
//# arch: x86_64
//# changed: copy_pair
#include "kernel.h"

#ifdef PATCHED
#define RESUME "2b"
#else
#define RESUME "3b"
#endif

u32 copy_pair(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: movl %1, %0\n2: addl $5, %0\n3:\n" EXTABLE("1b", RESUME, "1")
		     : "+r"(value)
		     : "m"(*from));
	write_register(0, value);
	return value;
}

u32 copy_single(const u32 *from)
{
	u32 value = 0;

	asm volatile("1: movl %1, %0\n2: addl $5, %0\n3:\n" EXTABLE("1b", "3b", "1")
		     : "+r"(value)
		     : "m"(*from));
	write_register(1, value);
	return value;
}
