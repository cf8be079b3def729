#include <linux/demo.h>
#if 0
int demo_never(void) { return 0; }
#endif
