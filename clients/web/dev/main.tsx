/** The signed-in shell over the scripted client; `?gate` shows the sign-in page. */
import '../src/styles/all.css';
import { createRoot } from 'react-dom/client';
import { SignIn } from '../src/account/sign-in.tsx';
import { Chat } from '../src/chat/chat.tsx';
import { applyTheme, readTheme } from '../src/settings/theme.ts';
import { ScriptedClient } from './scripted-client.ts';

const client = new ScriptedClient();
Object.assign(globalThis, { parley: client });
applyTheme(readTheme());
const root = document.getElementById('root');
if (root !== null) {
  createRoot(root).render(
    location.search === '?gate' ? (
      <SignIn enter={() => Promise.reject({ reason: 'LOGIN_FAILED' })} />
    ) : (
      <Chat
        client={client}
        signOut={() => location.reload()}
        takeOver={() => void client.takeOver()}
      />
    ),
  );
}
