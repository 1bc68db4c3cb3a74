//# what: functions swap places, so that same-named static locals swap their numbers with gcc
//# exit: 3
#include "kernel.h"

#define LEFT                                                                                       \
	u32 step_left(u32 wheel)                                                                   \
	{                                                                                          \
		static u32 steps;                                                                  \
		write_register(wheel, ++steps);                                                    \
		return steps;                                                                      \
	}
#define RIGHT                                                                                      \
	u32 step_right(u32 wheel)                                                                  \
	{                                                                                          \
		static u32 steps;                                                                  \
		write_register(wheel + 64, steps += 2);                                            \
		return steps;                                                                      \
	}

#ifdef PATCHED
RIGHT
LEFT
#else
LEFT
RIGHT
#endif
