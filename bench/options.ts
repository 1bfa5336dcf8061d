/** What a run is asked for, and what a scenario is. */
import type { ServerUnderLoad } from './server-process.ts';

export interface BenchOptions {
  readonly url: string | undefined;
  readonly seconds: number;
  readonly warm: number;
  readonly pairs: number;
  readonly window: number;
  readonly conversations: number;
  readonly rate: number;
  readonly members: number;
  readonly connections: number;
  readonly readers: number;
  readonly pages: number;
  readonly changed: number;
  /** Conversations of a second server that `spread` measures in turn with the first; 0 = none. */
  readonly beside: number;
  readonly turns: number;
  readonly processes: number;
  readonly bytes: number;
  readonly marks: boolean;
}

export type Report = Readonly<Record<string, unknown>>;
export type Scenario = (server: ServerUnderLoad, options: BenchOptions) => Promise<Report>;
