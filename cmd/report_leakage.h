/* report_leakage.h - moe-report --leakage. */
#ifndef MOE_CMD_REPORT_LEAKAGE_H
#define MOE_CMD_REPORT_LEAKAGE_H

/* losses: numbers separated by commas, one for each of the n recorded runs: the first is asked
 * about, the others are standard runs. */
int report_leakage(const char *losses, int n, char **path);

#endif
