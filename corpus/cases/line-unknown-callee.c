//# what: a line number given to a callee of which nothing is known counts as a change
//# changed: trace_entry
#include "kernel.h"

void remember_place(const char *what, int line);

#ifdef PATCHED
#line 512
#endif

void trace_entry(u32 event)
{
	remember_place("entry", __LINE__);
	wait_for(event);
}

void trace_exit(u32 event)
{
	write_register(event, 0);
	wait_for(event);
}
