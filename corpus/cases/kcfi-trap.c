//# what: code is equal, but a trap of an indirect call's check has another place
//# changed: dispatch
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define CHECK "ud2; 1: ud2"
#else
#define CHECK "1: ud2; ud2"
#endif
#define KCFI_ROW "\n.pushsection .kcfi_traps, \"a\"\n.long 1b - .\n.popsection\n"

void dispatch(u32 event)
{
	write_register(0, event);
	asm volatile(CHECK KCFI_ROW);
	wait_for(0);
}

void collect(u32 event)
{
	write_register(1, event);
	asm volatile("1: ud2" KCFI_ROW);
	wait_for(1);
}
