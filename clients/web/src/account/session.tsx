/** A signed-in session: owns the client. Loaded after sign-in, so the sign-in page stays small. */
import { type Client, createClient, webLocks } from '@parley/sdk';
import type { Auth } from '@parley/sdk/auth';
import { indexedDbStore } from '@parley/sdk/indexeddb';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { Splash } from '../art/splash.tsx';
import { Chat } from '../chat/chat.tsx';

export interface SessionProps {
  readonly auth: Auth;
  readonly userId: string;
  /** The server ended it, or the person did (no reason). */
  readonly ended: (reason: string | undefined) => void;
}

interface Opened {
  readonly client: Client;
  readonly turn: number;
}

export function Session({ auth, userId, ended }: SessionProps): ReactNode {
  const [opened, setOpened] = useState<Opened | undefined>(undefined);
  // Coming back from another tab begins anew from what that tab left on the device.
  const [turn, setTurn] = useState(0);
  // Who signs out revokes the session, and the server says so at once: that is no news.
  const isLeaving = useRef(false);
  useEffect(() => {
    const made = openClient(auth, userId);
    const off = made.on('signedOut', ({ reason }) => {
      if (!isLeaving.current) ended(reason);
    });
    let isGone = false;
    made.start().then(
      () => !isGone && setOpened({ client: made, turn }),
      // Not even memory could be opened, or the first credential was refused.
      (error: unknown) => !isGone && ended(refusalOf(error)),
    );
    return () => {
      isGone = true;
      off();
      void made.stop();
    };
  }, [auth, userId, ended, turn]);

  if (opened === undefined) return <Splash />;
  const { client } = opened;
  const signOut = async (): Promise<void> => {
    isLeaving.current = true;
    await client.signOut(true);
    await auth.signOut();
    ended(undefined);
  };
  return (
    <Chat
      key={opened.turn}
      client={client}
      signOut={() => void signOut()}
      takeOver={() => setTurn(turn + 1)}
    />
  );
}

function openClient(auth: Auth, userId: string): Client {
  const locks = webLocks();
  return createClient({
    url: location.origin,
    credential: (why) => auth.credential(why),
    store: indexedDbStore(`parley-${userId}`),
    ...(locks === undefined ? {} : { locks }),
  });
}

function refusalOf(error: unknown): string {
  const isCoded = typeof error === 'object' && error !== null && 'reason' in error;
  return isCoded && typeof error.reason === 'string' ? error.reason : 'INVARIANT';
}
