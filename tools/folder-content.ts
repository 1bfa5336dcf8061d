/** Two folders compared by content: what a generator makes against what is committed. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';

export interface Difference {
  /** Relative to the folders, with forward slashes. */
  readonly path: string;
  readonly is: 'missing' | 'left over' | 'not current';
}

/** Every file below `folder`, by its path in there; empty when there is no such folder. */
export function readFolder(folder: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const walk = (inside: string): void => {
    for (const entry of readdirSync(join(folder, inside), { withFileTypes: true })) {
      const path = posix.join(inside, entry.name);
      if (entry.isDirectory()) walk(path);
      else found.set(path, readFileSync(join(folder, path), 'utf8'));
    }
  };
  try {
    walk('');
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT')) throw thrown;
  }
  return found;
}

/** What must change in `committed` so that it equals `made`, in order of the paths. */
export function contentDifferences(
  made: ReadonlyMap<string, string>,
  committed: ReadonlyMap<string, string>,
): readonly Difference[] {
  const paths = [...new Set([...made.keys(), ...committed.keys()])].toSorted();
  return paths.flatMap((path): Difference[] => {
    const wanted = made.get(path);
    const there = committed.get(path);
    if (wanted === there) return [];
    if (there === undefined) return [{ path, is: 'missing' }];
    return [{ path, is: wanted === undefined ? 'left over' : 'not current' }];
  });
}
