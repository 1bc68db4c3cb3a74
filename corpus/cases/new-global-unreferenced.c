//# what: a new global function that nothing calls yet is still part of the patch
//# new: poll_sensor
#include "kernel.h"

int read_sensor(u32 sensor)
{
	wait_for(sensor);
	return read_register(sensor);
}

#ifdef PATCHED
int poll_sensor(u32 sensor)
{
	while (!read_register(sensor))
		wait_for(sensor);
	return read_sensor(sensor);
}
#endif
