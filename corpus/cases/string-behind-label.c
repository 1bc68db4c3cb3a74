//# what: a changed function prints a text from its fourth letter on: the label of the text has a distance
//# changed: greet_late
#include "kernel.h"

#ifdef PATCHED
#define FROM 4
#else
#define FROM 3
#endif

void greet_late(u32 guest)
{
	_printk(&"oh, hello %u\n"[FROM], guest);
	wait_for(guest);
}

void greet(u32 guest)
{
	_printk("oh, hello %u\n", guest);
	wait_for(guest);
}
