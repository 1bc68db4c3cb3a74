//# what: the code bytes are equal and only the offset into a variable differs
//# changed: reserve_slot
#include "kernel.h"

u32 slots[16];

void reserve_slot(u32 owner)
{
#ifdef PATCHED
	slots[9] = owner;
#else
	slots[5] = owner;
#endif
	wait_for(owner);
}

u32 slot_owner(u32 slot)
{
	return slots[slot & 15];
}
