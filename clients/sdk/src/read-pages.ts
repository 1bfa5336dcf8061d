/** What is answered in pages: read to the last of them, however many they are. */
import { ClientError } from './errors.ts';

/**
 * `read` takes the token of a page ('' = the first) and gives that of the next ('' = there is none).
 * Bounded by progress alone: a page that comes again rejects with INVARIANT, for what follows it
 * would come again too, for ever.
 */
export async function readPages(read: (pageToken: string) => Promise<string>): Promise<void> {
  let mark = '';
  let nextMark = 1;
  let pageToken = await read('');
  for (let page = 1; pageToken !== ''; page++) {
    if (pageToken === mark)
      throw new ClientError('INVARIANT', 'the server named a page that was read before');
    // One token is kept, and marks lie twice as far apart each time (Brent): whatever the length of a
    // circle, it comes by the mark.
    if (page === nextMark) {
      mark = pageToken;
      nextMark *= 2;
    }
    pageToken = await read(pageToken);
  }
}
