/* What run --dry-run says of a job that it does not submit. */
#ifndef CONCD_CTL_DRY_RUN_H
#define CONCD_CTL_DRY_RUN_H

#include <stdint.h>

#include <jansson.h>

/* To standard output: `answer` is the daemon's, count the number of all inputs. */
void dry_run_print(const json_t *answer, uint64_t count);

#endif
