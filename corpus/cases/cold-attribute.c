//# what: a function becomes cold and moves to another kind of text section, which changes nothing
//# exit: 3
#include "kernel.h"

#ifdef PATCHED
cold
#endif
noinline int recover_link(u32 link)
{
	write_register(link, 0xff);
	wait_for(link);
	return read_register(link);
}

int check_link(u32 link)
{
	wait_for(link);
	return read_register(link) != 0;
}
