//# what: a changed function has rows in .smp_locks, and so has an unchanged one
//# changed: add_holder
//# machines: x86_64
#include "kernel.h"

void add_holder(u32 *count)
{
	asm volatile(LOCK_PREFIX "incl %0" : "+m"(*count));
#ifdef PATCHED
	asm volatile(LOCK_PREFIX "incl %0" : "+m"(count[1]));
#endif
	wait_for(0);
}

void drop_holder(u32 *count)
{
	asm volatile(LOCK_PREFIX "decl %0" : "+m"(*count));
	wait_for(1);
}
