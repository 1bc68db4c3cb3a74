//# what: nothing but a variable that is freed after boot
//# exit: 2
//# says: only matter while the kernel boots
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define FIRST 5
#else
#define FIRST 4
#endif

static u32 first in_section(".init.data") = FIRST;

void in_section(".init.text") prepare(u32 index)
{
	write_register(first, index);
	first = index;
}
