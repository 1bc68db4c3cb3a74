//# what: a longer string in one function moves the strings of the others
//# changed: greet
#include "kernel.h"

void greet(u32 guest)
{
#ifdef PATCHED
	_printk("good evening to guest number %u\n", guest);
#else
	_printk("hello %u\n", guest);
#endif
	wait_for(guest);
}

void dismiss(u32 guest)
{
	_printk("goodbye %u\n", guest);
	wait_for(guest);
}

void announce(u32 guest)
{
	_printk("here is %u\n", guest);
	_printk("goodbye %u\n", guest);
}
