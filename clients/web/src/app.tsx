/** Signed in or not. */
import { type Auth, createAuth } from '@parley/sdk/auth';
import { lazy, type ReactNode, Suspense, useCallback, useMemo, useState } from 'react';
import { deviceNameOf } from './account/device-name.ts';
import { keepUsername, keptSessions, readSession, readUsername } from './account/kept-session.ts';
import { type Entry, SignIn } from './account/sign-in.tsx';
import { Splash } from './art/splash.tsx';
import { sentenceOf } from './text/reason-text.ts';

const Session = lazy(async () => ({ default: (await import('./account/session.tsx')).Session }));

type Standing =
  | { readonly is: 'in'; readonly userId: string }
  | { readonly is: 'out'; readonly notice: string | undefined };

export function App(): ReactNode {
  const auth = useMemo(openAuth, []);
  const [standing, setStanding] = useState<Standing>(standingAtStart);
  const ended = useCallback((reason: string | undefined) => {
    if (reason === undefined) keepUsername(undefined);
    setStanding({ is: 'out', notice: reason === undefined ? undefined : sentenceOf(reason) });
  }, []);
  const enter = async (entry: Entry): Promise<void> => {
    const { username, password, displayName } = entry;
    const user =
      entry.mode === 'sign-up'
        ? await auth.signUp({ username, password, ...(displayName === '' ? {} : { displayName }) })
        : await auth.logIn({ username, password });
    keepUsername(username);
    setStanding({ is: 'in', userId: user.userId });
  };
  if (standing.is === 'out') {
    return <SignIn notice={standing.notice} username={readUsername()} enter={enter} />;
  }
  return (
    <Suspense fallback={<Splash />}>
      <Session auth={auth} userId={standing.userId} ended={ended} />
    </Suspense>
  );
}

function standingAtStart(): Standing {
  const session = readSession();
  return session === undefined
    ? { is: 'out', notice: undefined }
    : { is: 'in', userId: session.userId };
}

function openAuth(): Auth {
  return createAuth({
    url: location.origin,
    sessions: keptSessions(),
    device: deviceNameOf(navigator.userAgent),
    exclusive: oneTabAtATime,
  });
}

/** Two tabs must not spend one refresh token twice: the second would look like a thief's. */
async function oneTabAtATime<T>(fn: () => Promise<T>): Promise<T> {
  if (!('locks' in navigator)) return fn();
  let result: T | undefined;
  await navigator.locks.request('parley.refresh', async () => {
    result = await fn();
  });
  return result as T;
}
