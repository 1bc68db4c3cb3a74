//# what: a constant table of functions is unchanged although one of the functions in it changed
//# changed: valve_open
#include "kernel.h"

struct valve_ops {
	int (*open)(u32 valve);
	int (*close)(u32 valve);
};

static int valve_open(u32 valve)
{
#ifdef PATCHED
	if (read_register(valve) & 2)
		return -1;
#endif
	write_register(valve, 1);
	return 0;
}

static int valve_close(u32 valve)
{
	write_register(valve, 0);
	return 0;
}

const struct valve_ops valve_ops = {
	.open = valve_open,
	.close = valve_close,
};

const struct valve_ops *find_valve_ops(u32 kind)
{
	return kind ? &valve_ops : 0;
}
