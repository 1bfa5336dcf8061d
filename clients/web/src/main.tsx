/** The first thing that runs: the time mark, the theme, the tree. */
import './styles/all.css';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { applyTheme, readTheme } from './settings/theme.ts';

performance.mark('parley:start');
applyTheme(readTheme());
const root = document.getElementById('root');
if (root !== null) createRoot(root).render(<App />);
