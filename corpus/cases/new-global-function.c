//# what: a changed function calls a global function that is new
//# changed: mount_volume
//# new: volume_generation
#include "kernel.h"

#ifdef PATCHED
u64 volume_generation(u32 volume)
{
	u64 high = read_register(volume + 1);

	return high << 32 | read_register(volume);
}
#endif

int mount_volume(u32 volume)
{
#ifdef PATCHED
	if (!volume_generation(volume))
		return -5;
#endif
	wait_for(volume);
	return 0;
}
