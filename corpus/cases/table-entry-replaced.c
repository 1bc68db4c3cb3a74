//# what: a constant table that nothing changed refers to now names another function
//# exit: 2
#include "kernel.h"

static int handle_read(u32 file)
{
	return read_register(file);
}

static int handle_poll(u32 file)
{
	wait_for(file);
	return read_register(file);
}

int (*const handlers[])(u32) = {
	handle_poll,
#ifdef PATCHED
	handle_poll,
#else
	handle_read,
#endif
	handle_read,
};
