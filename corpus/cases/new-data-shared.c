//# what: a variable is new beside another one in a section that several share
//# changed: count_events
#include "kernel.h"

#define often_read in_section(".data..read_mostly")

#ifdef PATCHED
often_read u32 events_max = 9;
#endif
often_read u32 events;

void count_events(u32 value)
{
#ifdef PATCHED
	if (events_max < value)
		write_register(1, events_max);
#endif
	events += value;
	wait_for(events);
}

void uncount_events(u32 value)
{
	events -= value;
	wait_for(events);
}
