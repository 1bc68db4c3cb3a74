//# what: code is equal, but the lock prefix has no row in .smp_locks any more
//# changed: add_holder
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define LOCK "lock; "
#else
#define LOCK LOCK_PREFIX
#endif

void add_holder(u32 *count)
{
	asm volatile(LOCK "incl %0" : "+m"(*count));
	wait_for(0);
}

void drop_holder(u32 *count)
{
	asm volatile(LOCK_PREFIX "decl %0" : "+m"(*count));
	wait_for(1);
}
