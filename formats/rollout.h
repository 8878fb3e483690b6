/* rollout.h - the schema of a rollout record: its keys, once. formats/records.md is the
 * specification; who adds a key adds it there and here.
 *
 *   key             type, shape            written by
 *   id              str                    moe-rollout; unique in the stream
 *   prompt_id       str                    moe-prompts, passed on
 *   group, step     int                    moe-rollout
 *   arm             str                    moe-rollout, from the adapter
 *   policy          str                    moe-rollout: digest of the adapter that sampled it
 *   prompt_ids      i32 [P]                moe-rollout
 *   completion_ids  i32 [C]                moe-rollout, the end token included
 *   completion      str                    moe-rollout; need not be UTF-8
 *   logp            f32 [C]                moe-rollout: log-probabilities at sampling, nats
 *   finish          str                    moe-rollout: stop or length
 *   sampled_off     str                    moe-rollout: the bank that was at gate 0, if one was
 *   reward          float                  moe-grade: the sum that trains
 *   rewards         map of floats          moe-grade: its parts
 *   seal            bin                    moe-grade: the oracle's findings (seal.h opens them)
 *   route           map                    moe-route, or moe-rollout under a router
 */
#ifndef MOE_FORMATS_ROLLOUT_H
#define MOE_FORMATS_ROLLOUT_H

#define MOE_ROLLOUT_PROMPT_ID      "prompt_id"
#define MOE_ROLLOUT_POLICY         "policy"
#define MOE_ROLLOUT_PROMPT_IDS     "prompt_ids"
#define MOE_ROLLOUT_COMPLETION_IDS "completion_ids"
#define MOE_ROLLOUT_COMPLETION     "completion"
#define MOE_ROLLOUT_LOGP           "logp"
#define MOE_ROLLOUT_FINISH         "finish"
#define MOE_ROLLOUT_SAMPLED_OFF    "sampled_off"
#define MOE_ROLLOUT_REWARD         "reward"
#define MOE_ROLLOUT_REWARDS        "rewards"
#define MOE_ROLLOUT_SEAL           "seal"
#define MOE_ROLLOUT_ROUTE          "route"

#endif
