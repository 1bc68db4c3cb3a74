//# what: another name of a variable now stands for a different one
//# exit: 2
//# says: symbol changed sections
#include "kernel.h"

u32 first_limit = 1;
u32 second_limit = 2;

#ifdef PATCHED
extern u32 limit __attribute__((alias("second_limit")));
#else
extern u32 limit __attribute__((alias("first_limit")));
#endif
