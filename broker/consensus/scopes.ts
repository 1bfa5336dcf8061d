/** The searches that run with the tests; each ends within a second. */
import type { Act, Scope } from './small-scope.ts';

const LED_BY_1: readonly Act[] = [{ do: 'stand', id: 1 }, { do: 'settle' }];

export const SCOPES: readonly Scope[] = [
  // A sole voter: everything, with two crashes at any moment.
  {
    replicas: 1,
    prefix: [],
    candidacies: 3,
    proposals: 2,
    crashes: 2,
    areDisksSlow: true,
    statesMax: 1_000,
  },
  // Two replicas with slow disks, from the start.
  {
    replicas: 2,
    prefix: [],
    candidacies: 2,
    proposals: 1,
    crashes: 1,
    areDisksSlow: true,
    statesMax: 2_000,
  },
  // Two replicas that had a leader: everything.
  {
    replicas: 2,
    prefix: LED_BY_1,
    candidacies: 2,
    proposals: 1,
    crashes: 1,
    areDisksSlow: false,
    statesMax: 3_000,
  },
  // Three replicas, two candidates at once.
  {
    replicas: 3,
    prefix: LED_BY_1,
    candidacies: 2,
    proposals: 1,
    crashes: 0,
    areDisksSlow: false,
    statesMax: 1_500,
  },
];
