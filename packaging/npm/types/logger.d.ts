export declare function setLogger(logger: any): void;
export declare function getLogger(): any;
